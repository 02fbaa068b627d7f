"""Strategies that are the same computation, and why, where that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from palimpsest.benchmark.store.store import Record
from palimpsest.reports.runs.cells import Cell, by_scenario, dial_of
from palimpsest.reports.runs.merge import same_results
from palimpsest.reports.wording.words import joined


def coincidence_sentences(cells: Sequence[Cell]) -> Iterator[str]:
    """Say which strategies of one scenario give identical runs.

    The reason is given where the strategies are known to be the same with two models.
    """
    facts = {cell.variant.strategy: cell.variant.facts for cell in cells}
    models = {len(record.accuracy_matrix) for cell in cells for record in cell.done}
    for names in (names for groups in coinciding(cells).values() for names in groups):
        dial = dial_of(cell.variant for cell in cells if cell.variant.strategy in names)
        text = (
            f"{joined(names)} give bit-identical runs at every {dial.name} and seed that they have "
            "in common"
        )
        (what, *others) = {facts[name].same_with_two for name in names}
        several = len({facts[name].name for name in names}) > 1
        if models == {2} and what is not None and not others and several:
            text += (
                f": with two models they are one computation, {what}; they differ from the third "
                "model on"
            )
        yield f"{text}."


def coinciding(cells: Sequence[Cell]) -> dict[str, list[tuple[str, ...]]]:
    """Return the strategies of each scenario whose runs measured the same, bit for bit.

    Runs of the same strength and seed are compared where both strategies have one: test and
    validation accuracies, curves and metrics.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    for scenario, members in by_scenario(cells).items():
        runs: dict[str, dict[tuple[float | None, int], Record]] = {}
        for cell in members:
            own = runs.setdefault(cell.variant.strategy, {})
            own |= {(cell.variant.strength, r.seed): r for r in cell.done}
        groups: list[list[str]] = []
        for name, own in runs.items():
            for group in groups:
                if all(_same(own, runs[other]) for other in group):
                    group.append(name)
                    break
            else:
                groups.append([name])
        same = [tuple(group) for group in groups if len(group) > 1]
        if same:
            found[scenario] = same
    return found


def twins(runs: Mapping[str, Sequence[Cell | None]]) -> list[set[str]]:
    """Group strategies whose runs are the same, bit for bit; most groups have one member.

    Args:
        runs: For each strategy the runs that stand for it, in each of the same scenarios.
    """
    own = {
        name: {(place, r.seed): r for place, cell in enumerate(cells) if cell for r in cell.done}
        for name, cells in runs.items()
    }
    groups: list[set[str]] = []
    for name, records in own.items():
        for group in groups:
            other = own[min(group)]
            if other.keys() == records.keys() and _same(records, other):
                group.add(name)
                break
        else:
            groups.append({name})
    return groups


def _same(own: Mapping[Any, Record], other: Mapping[Any, Record]) -> bool:
    shared = own.keys() & other.keys()
    return bool(shared) and all(same_results(own[key], other[key]) for key in shared)
