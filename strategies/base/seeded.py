"""Random generators whose numbers depend on a setting and on a place."""

import numpy as np
import torch


def seeded(*numbers: int) -> torch.Generator:
    """Return a generator on the CPU.

    Args:
        *numbers: The seed, and what tells one use of it from others, such as the number of a model;
            none is below 0. Other numbers give other draws.
    """
    state = np.random.SeedSequence(numbers).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))
