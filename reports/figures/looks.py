"""How lines are drawn: one colour a kind of strategy, the same in all figures of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.analysis.variants import CHOSEN
from reports.figures.style import styles
from reports.runs.cells import REFERENCES, Cell, Variant

_DASHES: tuple[Any, ...] = (
    "-",
    (0, (1, 1.3)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (6, 1.5, 1, 1.5, 1, 1.5)),
    (0, (1, 3)),
)
"""Of strategies of one kind; dashes are left for penalties that are applied as gradients."""

_GRADIENTS: tuple[Any, ...] = ((0, (4, 1.8)), (0, (8, 1.8)), (0, (4, 1.8, 8, 1.8)))


@dataclass(frozen=True)
class Look:
    """How one line of a figure is drawn.

    Attributes:
        color: Of the line; of one kind, weak strengths are lighter and strong ones darker.
        linestyle: Of the line.
        marker: Of its points.
    """

    color: str
    linestyle: Any
    marker: str


class Looks:
    """The looks of a page.

    Args:
        kinds: All kinds of strategies of the page, in any order.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        # From the end of the alphabet: wpl stands there, and is most visible in a first colour.
        self._kinds = sorted(set(kinds), reverse=True)

    def of(self, shown: Mapping[str, Cell]) -> dict[str, Look]:
        """Return the look of each line of a figure.

        A kind of strategy has a colour; its strengths, where several are in the figure, are
        shades of it; penalties that are applied as gradients are dashed, and other strategies
        of one kind dotted.

        Args:
            shown: The variants of the figure as they are written, each with some of its runs.
        """
        dials = {
            written: None if written.endswith(f"@{CHOSEN}") else cell.variant.strength
            for written, cell in shown.items()
        }
        strengths: dict[str, set[float]] = {}
        for written, cell in shown.items():
            own = strengths.setdefault(cell.variant.kind, set())
            dial = dials[written]
            own |= set() if dial is None else {dial}
        several = {kind: sorted(own) for kind, own in strengths.items() if len(own) > 1}
        shades = styles(
            [Variant(kind, kind, s) for kind in self._kinds for s in several.get(kind, [None])]
        )
        found: dict[str, Look] = {}
        seen: dict[tuple[str, bool], list[str]] = {}
        for written, cell in shown.items():
            variant = cell.variant
            dial = dials[written] if variant.kind in several else None
            style = next(
                look
                for shade, look in shades.items()
                if shade.kind == variant.kind and (dial is None or shade.strength == dial)
            )
            color = style.base if dial is None else style.color
            gradient = applied_as_gradient(cell)
            siblings = seen.setdefault((variant.kind, gradient), [])
            if variant.strategy not in siblings:
                siblings.append(variant.strategy)
            dashes = _GRADIENTS if gradient else _DASHES
            wanted = dashes[siblings.index(variant.strategy) % len(dashes)]
            if variant.kind in REFERENCES:
                wanted = style.linestyle
            # The chosen strength may have the shade of another: no two lines look the same.
            taken = [look.linestyle for look in found.values() if look.color == color]
            free = [line for line in (wanted, *dashes, *_DASHES) if line not in taken]
            found[written] = Look(color, free[0] if free else wanted, style.marker)
        return found


def applied_as_gradient(cell: Cell) -> bool:
    """Whether the penalty is added to the gradient, and not minimised after each step."""
    settings = next(cell.runs).spec.strategy.settings
    return settings.get("application") == "gradient"


def series_looks(labels: Sequence[str]) -> dict[str, Look]:
    """Return looks for lines that are not told apart by strategy, such as estimators."""
    made = styles([Variant(f"{place:03}", "series") for place, _ in enumerate(labels)])
    return {
        label: Look(style.base, "-", style.marker)
        for label, style in zip(labels, made.values(), strict=True)
    }
