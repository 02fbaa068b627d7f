"""Strategies that are the same computation, and why where that is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.cells import Cell
from reports.ranking import coinciding

_SAME_FOR_TWO_MODELS = {"ewc", "wpl"}


def coincidence_sentences(cells: Sequence[Cell]) -> Iterator[str]:
    """Say which strategies of one scenario give the same runs.

    The reason is known for EWC and diagonal WPL with two models, see ``strategies/wpl.py``.

    Args:
        cells: All of the scenario.
    """
    kinds = {cell.variant.strategy: cell.variant.kind for cell in cells}
    models = {len(record.accuracy_matrix) for cell in cells for record in cell.done}
    for names in (names for groups in coinciding(cells).values() for names in groups):
        text = (
            f"{', '.join(names[:-1])} and {names[-1]} give the same runs bit for bit, at every "
            "strength and seed that they have in common"
        )
        if models == {2} and {kinds[name] for name in names} == _SAME_FOR_TWO_MODELS:
            text += (
                ": with two models the second never touches what is private to the first, so the "
                "penalty is the same; they part from the third model on, and in WPL’s Schur form"
            )
        yield f"{text}."
