"""Curves that were read off a published figure, as a page gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeGuard

from palimpsest.benchmark.errors import UserError, nearest

Given = Mapping[str, Mapping[str, object]]
"""The curves of one scenario by label, each with the attributes of a ``DigitizedCurve``."""


@dataclass(frozen=True)
class DigitizedCurve:
    """A curve that was read off a published figure.

    Attributes:
        model: 0 (A) or 1 (B).
        variant: The variant of our figure that it belongs to, as it is written.
        steps: Steps of B.
        accuracy: In per cent.
    """

    model: int
    variant: str
    steps: Sequence[float]
    accuracy: Sequence[float]

    @classmethod
    def read(
        cls, place: str, given: Mapping[str, object], variants: Sequence[str] | None = None
    ) -> DigitizedCurve:
        """Check a reference as a page gives it.

        Raises:
            UserError: An attribute is missing or wrong.
        """
        if not isinstance(given, Mapping):
            raise UserError(f"{place}: not a mapping; give the reference of one scenario")
        names = [field.name for field in fields(cls)]
        if wrong := sorted(set(names) - given.keys()):
            raise UserError(f"{place}: {wrong[0]!r} is missing; give {', '.join(names)}")
        if wrong := sorted(map(str, given.keys() - set(names))):
            raise UserError(f"{place}: unknown key {wrong[0]!r}; give {', '.join(names)}")
        model, variant, steps, accuracy = (given[name] for name in names)
        if type(model) is not int or model not in {0, 1}:
            raise UserError(f"{place}: model is {model!r}; write 0 for A or 1 for B")
        if variants is not None and variant not in variants:
            raise UserError(
                f"{place}: its variant is not in the figure; {nearest(str(variant), variants)}"
            )
        if not _are_numbers(steps) or not _are_numbers(accuracy):
            raise UserError(f"{place}: steps and accuracy must be lists of numbers")
        if len(steps) != len(accuracy):
            raise UserError(
                f"{place}: {len(steps)} steps, but {len(accuracy)} accuracies; give one per step"
            )
        return cls(model, str(variant), steps, accuracy)


def _are_numbers(given: object) -> TypeGuard[list[float]]:
    return isinstance(given, list) and all(isinstance(one, int | float) for one in given)


def digitized_curves(
    scenario: str, given: Given, variants: Sequence[str] | None = None
) -> list[DigitizedCurve]:
    """Check the curves that a page gives for a scenario, see ``DigitizedCurve.read``."""
    if not isinstance(given, Mapping):
        raise UserError(f"reference of {scenario!r}: not a mapping; give each curve a label")
    return [
        DigitizedCurve.read(f"reference of {scenario!r}, {key!r}", one, variants)
        for key, one in given.items()
    ]
