"""What all code of a process shares: the global random generators, and settings of torch.

A network may draw from torch's generator (dropout), numpy's or Python's; all are seeded and
restored together.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Seed torch's generators (of the CPU and of every CUDA device), numpy's and Python's own.

    Args:
        seed: Below 2^63, as ``derive`` returns it.
    """
    torch.manual_seed(seed)
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])
    random.seed(seed)


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


@contextmanager
def own_settings() -> Iterator[None]:
    """Give a run gradients and float32, whatever a plugin has left in the process before.

    After it the settings, and the working folder, are what they were.
    """
    gradients, kind, folder = torch.is_grad_enabled(), torch.get_default_dtype(), None
    with suppress(OSError):  # the folder has been removed
        folder = Path.cwd()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.set_grad_enabled(True):
            yield
    finally:
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(kind)
        if folder is not None:
            os.chdir(folder)
