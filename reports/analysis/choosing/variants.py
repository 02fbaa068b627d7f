"""Variants as a page writes them: ``finetune``, ``wpl@1e4``, ``wpl@chosen``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.reports.analysis.choosing.choice import Choice
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.runs.cells import Cell, Variant, by_scenario
from palimpsest.reports.wording.numbers import strength_text

CHOSEN = "chosen"
"""Written for a strength: those that ``cross_fitting.choose`` chose on the validation split."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """The cells of one suite, by the names that a page uses."""

    suite: str
    cells: Sequence[Cell]
    choices: Sequence[Choice]

    @classmethod
    def of(cls, suite: str, cells: Sequence[Cell]) -> Catalog:
        """Make the catalog of a suite's cells."""
        return cls(suite, cells, choose(cells))

    @property
    def scenarios(self) -> dict[str, list[Cell]]:
        """The cells of each scenario."""
        return by_scenario(self.cells)

    def scenario(self, name: str) -> list[Cell]:
        """Return a scenario's cells.

        Raises:
            UserError: There is none of that name; the message suggests the nearest.
        """
        known = self.scenarios
        if name not in known:
            raise UserError(
                f"suite {self.suite!r} has no runs of a scenario {name!r}; {nearest(name, known)}"
            )
        return known[name]

    def cell(self, scenario: str, written: str) -> Cell:
        """Return the runs of a variant in a scenario.

        Args:
            scenario: Its name.
            written: ``finetune`` for a strategy without strengths, ``wpl@1e4`` for one strength,
                ``wpl@chosen`` for the runs that stand for the strategy (``Choice.reported``).

        Raises:
            UserError: The store has no such scenario, strategy or strength, or no strength could
                be chosen; the message suggests the nearest names.
        """
        members = self.scenario(scenario)
        name, at, strength = written.rpartition("@")
        name = name if at else strength
        own = self.strategy(scenario, name)
        if at and strength == CHOSEN:
            return self._chosen(scenario, name)
        wanted = _number(strength) if at else None
        for cell in own:
            have = cell.variant.strength
            if have == wanted or (
                have is not None and wanted is not None and isclose(have, wanted)
            ):
                return cell
        names = spellings([c for c in members if c.variant.strategy == name])
        raise UserError(
            f"suite {self.suite!r}, scenario {scenario!r}: no variant {written!r} in the store, "
            f"which has {', '.join(names)}; write one of these"
        )

    def strategy(self, scenario: str, name: str) -> list[Cell]:
        """Return a strategy's cells in a scenario, from weak to strong.

        Raises:
            UserError: There is none of that name; the message suggests the nearest.
        """
        members = self.scenario(scenario)
        own = [cell for cell in members if cell.variant.strategy == name]
        if not own:
            known = {cell.variant.strategy for cell in members}
            raise UserError(
                f"suite {self.suite!r}, scenario {scenario!r}: no strategy {name!r} in the store; "
                f"{nearest(name, known)}"
            )
        return own

    def choice(self, scenario: str, strategy: str) -> Choice:
        """Return which strength stands for a strategy in a scenario.

        Raises:
            UserError: There is none of that name; the message suggests the nearest.
        """
        self.strategy(scenario, strategy)
        return next(c for c in self.choices if (c.scenario, c.strategy) == (scenario, strategy))

    def _chosen(self, scenario: str, strategy: str) -> Cell:
        choice = self.choice(scenario, strategy)
        if choice.reported is None:
            raise UserError(
                f"suite {self.suite!r}, scenario {scenario!r}: no {choice.dial.name} of {strategy} "
                f"could be chosen ({choice.reason}); name one, such as "
                f"{spellings([tried.cell for tried in choice.tried])[0]!r}"
            )
        return choice.reported


def spellings(cells: Sequence[Cell]) -> list[str]:
    """Return how a page writes the variants of cells."""
    return [
        cell.variant.strategy
        if cell.variant.strength is None
        else f"{cell.variant.strategy}@{strength_text(cell.variant.strength)}"
        for cell in cells
    ]


def label(written: str, labels: Mapping[str, str], variant: Variant) -> str:
    """Return what a variant is called on the page.

    Args:
        written: As ``Catalog.cell`` reads it.
        labels: Names for variants as written, or for strategies: with ``{wpl: WPL}``,
            ``wpl@1e4`` is ``WPL, strength 1e4`` and ``wpl@chosen`` is ``WPL``.
        variant: What it is: it knows what its dial is called.
    """
    if written in labels:
        return labels[written]
    name, at, strength = written.rpartition("@")
    name = name if at else strength
    shown = labels.get(name, name)
    return f"{shown}, {variant.dial.name} {variant.value}" if at and strength != CHOSEN else shown


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
