"""The global random generators, for everything that has none of its own.

A network may draw from torch's (dropout), numpy's or Python's; all are seeded and restored
together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Seed torch's generators (of the CPU and of every CUDA device), numpy's and Python's own.

    Args:
        seed: Below 2^63, as ``derive`` returns it.
    """
    seed_torch(seed)
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])
    random.seed(seed)


def seed_torch(seed: int) -> None:
    """Seed torch's generators, of the CPU and of every CUDA device.

    ``torch.manual_seed`` also notes the seed for every kind of accelerator that is not there, and
    a traceback with it, which takes longer than a step of a small network.

    Args:
        seed: Below 2^63.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


@contextmanager
def own_numbers(device: torch.device, seed: int = 0) -> Iterator[None]:
    """Seed the generators inside the context, and restore them after it.

    Args:
        device: Its generator is restored, besides the CPU's, numpy's and Python's.
        seed: The seed inside.
    """
    devices = []
    if device.type == "cuda":
        devices = [torch.cuda.current_device() if device.index is None else device.index]
    numpys, pythons = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=devices):
            seed_generators(seed)
            yield
    finally:
        np.random.set_state(numpys)
        random.setstate(pythons)
