"""The global random generators and settings of torch, which all code of a process shares.

A network may draw from torch's generator (dropout), numpy's or Python's. All are seeded and
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

from palimpsest.benchmark.randomness.rng_state import rng_state, set_rng_state


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
    before = rng_state(device)
    try:
        seed_generators(seed)
        yield
    finally:
        set_rng_state(before, device)


@contextmanager
def own_settings() -> Iterator[None]:
    """Give a run gradients and float32, whatever a plugin has set in the process before.

    Afterwards the settings and the working folder are restored.
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
