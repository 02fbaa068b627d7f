"""The states of random generators, as values."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)

_BITS = {
    kind.__name__: kind
    for kind in (
        np.random.PCG64,
        np.random.PCG64DXSM,
        np.random.MT19937,
        np.random.Philox,
        np.random.SFC64,
    )
}


def kind_of(generator: Any) -> str | None:
    """Return what kind of generator it is, from which ``make`` makes another; ``None``: unknown."""
    if isinstance(generator, torch.Generator):
        return f"torch {generator.device}"
    if isinstance(generator, np.random.Generator):
        name = type(generator.bit_generator).__name__
        return f"bits {name}" if name in _BITS else None
    return {np.random.RandomState: "numpy", random.Random: "python"}.get(type(generator))


def make(kind: str) -> Any:
    """Return a new generator of a kind.

    Raises:
        ValueError: There is no such kind.
    """
    family, _, name = kind.partition(" ")
    if family == "torch":
        return torch.Generator(name)
    if family == "bits" and name in _BITS:
        return np.random.Generator(_BITS[name]())
    if kind not in {"numpy", "python"}:
        raise ValueError(f"random generators of the kind {kind} are not known")
    return np.random.RandomState() if kind == "numpy" else random.Random()


def state_of(generator: Any) -> Any:
    """Return a generator's state, plain data and tensors."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, random.Random):
        return generator.getstate()
    return generator.get_state()


def set_state(generator: Any, state: Any) -> None:
    """Set a generator's state."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def rng_state(device: torch.device) -> dict[str, Any]:
    """Return the states of the generators that everything shares.

    Args:
        device: Its generator is one of them.
    """
    found = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }
    return found | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_rng_state(states: dict[str, Any], device: torch.device) -> None:
    """Set the states of the generators that everything shares.

    Args:
        states: What ``rng_state`` returned.
        device: As there.
    """
    torch.set_rng_state(states["torch"])
    np.random.set_state(states["numpy"])
    random.setstate(states["python"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
