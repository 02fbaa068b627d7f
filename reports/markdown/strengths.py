"""The strengths behind ``wpl@chosen`` in a figure, for its caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from palimpsest.benchmark.runs.record import Dial
from palimpsest.reports.analysis.choosing.choice import Mixed
from palimpsest.reports.analysis.choosing.variants import CHOSEN, label
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.wording.numbers import strength_text
from palimpsest.reports.wording.words import joined, several


def chosen_strengths(cells: Mapping[str, Mapping[str, Cell]], labels: Mapping[str, str]) -> str:
    """Return a sentence with the chosen strengths, empty where none was chosen.

    ``Strengths, chosen on validation data: a: WPL 1e5, L2 anchor 10; b and c: ...``. Scenarios
    with the same strengths are named together, and not at all if all have the same; a name such
    as ``a: converged`` is cut to ``a`` if the short names are unique. If the halves of the seeds
    have different strengths, this is ``WPL 1e4 (3 seeds) and 1e5 (2)``.

    Args:
        cells: The runs of each scenario by variant as it is written.
        labels: Names for scenarios, variants and strategies.
    """
    places: dict[str, list[str]] = {}
    chosen = [
        {written: cell for written, cell in own.items() if written.endswith(f"@{CHOSEN}")}
        for own in cells.values()
    ]
    dial = dial_of(cell.variant for own in chosen for cell in own.values())
    shown = dict(zip(cells, _short([labels.get(name, name) for name in cells]), strict=True))
    for scenario, own in zip(cells, chosen, strict=True):
        parts = [
            f"{label(written, labels, cell.variant)} {strength}"
            for written, cell in own.items()
            if (strength := _strength(cell, dial))
        ]
        if parts:
            places.setdefault(", ".join(parts), []).append(shown[scenario])
    if not places:
        return ""
    if len(places) == 1 and sum(map(len, places.values())) == len(cells):
        (text,) = places
    else:
        text = "; ".join(f"{joined(names)}: {text}" for text, names in places.items())
    return f"{dial.plural.capitalize()}, chosen on validation data: {text}."


def _strength(cell: Cell, dial: Dial) -> str:
    variant = cell.variant
    name = "" if dial_of([variant]).name == dial.name else f"{variant.dial.name} "
    if not isinstance(variant, Mixed):
        return f"{name}{variant.value}" if variant.value else ""
    (first, count), *rest = variant.parts
    others = [f"{strength_text(strength)} ({n})" for strength, n in rest]
    return name + joined([f"{strength_text(first)} ({several(count, 'seed')})", *others])


def _short(names: Sequence[str]) -> Sequence[str]:
    """Cut names such as ``a: converged`` before the colon, if the short names are unique."""
    heads = [name.partition(":")[0] for name in names]
    return heads if len(set(heads)) == len(names) else names
