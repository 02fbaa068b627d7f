"""Chooses the architectures of a space that are trained together in a step, or each alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palimpsest.benchmark.errors import UserError, quoted
from palimpsest.benchmark.search.samplers import Sampler

if TYPE_CHECKING:
    from palimpsest.benchmark.search.supernets.supernet import Architecture, Space

MOST_RANKED = 10_000
"""The most architectures that are all ranked, or all trained alone, by default."""


def width_of(sampler: Sampler, space: Space) -> int:
    """Return the number of architectures that are trained in a step.

    Raises:
        UserError: The sampler is fair, and decisions have different numbers of options.
    """
    if sampler.name != "fair":
        return 1
    if len(set(space.options)) > 1:
        raise UserError(
            "sampler: fair trains every option of every decision in each step, and needs as "
            f"many options of each; this space has {', '.join(map(str, space.options))}"
        )
    return space.options[0]


def alone(space: Space, asked: tuple[Architecture, ...] | None) -> list[Architecture]:
    """Return the architectures of a space that are trained alone: those asked for, or all.

    Raises:
        UserError: One is not in the space, or is given twice; or the space is too large.
    """
    if asked is None:
        if space.size > MOST_RANKED:
            raise UserError(
                f"shared: false would train {space.size:,} architectures, each alone; say "
                "which, by architectures"
            )
        return list(space.all())
    for number, each in enumerate(asked):
        try:
            space.check(each)
        except ValueError as error:
            raise UserError(f"architectures: {error}") from None
        if each in asked[:number]:
            raise UserError(f"architectures: {quoted(list(each))} is given twice")
    return list(asked)


def check_ranked(space: Space, ranked: int | None) -> None:
    """Refuse to rank a large space without being asked to.

    Raises:
        UserError: The setting ``ranked`` is missing.
    """
    if ranked is None and space.size > MOST_RANKED:
        raise UserError(
            f"ranked: the space has {space.size:,} architectures; say how many of them are to "
            "be ranked at the end, or 0"
        )
