"""Colours, lines and markers: one assignment for the report and for written pages."""

from __future__ import annotations

from collections.abc import Collection, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, TypeVar

import seaborn as sns
from matplotlib.colors import to_hex

from reports.runs.cells import FINETUNE, FREEZE, INDEPENDENT, JOINT, Cell, Variant

Key = TypeVar("Key", bound=Hashable)

# References are grey, so that colours are left for the strategies compared.
_GREYS = {
    FINETUNE: ("#222222", (0, ()), "s"),
    FREEZE: ("#7a7a7a", (0, (4, 2)), "D"),
    INDEPENDENT: ("#555555", (0, (1, 1.5)), "^"),
    JOINT: ("#999999", (0, (5, 1.5, 1, 1.5)), "v"),
}
# The most distinct first; without grey (for references) and yellow (invisible on white).
_ORDER = (0, 3, 2, 4, 9, 1, 5, 6)
_MARKERS = "oPXpd*<>"
_SIBLINGS = 4  # the most strategies of one kind that share a colour
_DASHES: tuple[Any, ...] = (
    "-",
    (0, (1, 1.3)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (6, 1.5, 1, 1.5, 1, 1.5)),
    (0, (1, 3)),
)
_GRADIENTS: tuple[Any, ...] = ((0, (4, 1.8)), (0, (8, 1.8)), (0, (4, 1.8, 8, 1.8)))
"""Dashes are reserved for penalties that are added to the gradient."""


@dataclass(frozen=True)
class Style:
    """How a variant is drawn.

    Attributes:
        color: The strategy's colour, lighter for weak and darker for strong strengths.
        linestyle: Of its lines.
        marker: Of its points, the strategy's.
        base: The strategy's colour.
    """

    color: str
    linestyle: Any
    marker: str
    base: str

    @property
    def ink(self) -> str:
        """The strategy's colour, dark enough for text."""
        return str(to_hex(sns.blend_palette([self.base, "black"], 11)[4]))


class Styles:
    """How strategies look in all figures of one report or page.

    A kind of strategy has one colour and marker; strategies of one kind share the colour, and have
    lines and markers of their own. Where a figure has more than ``_SIBLINGS`` of a kind, the
    others have colours of their own, too. Strengths are shades, from light (weak) to dark
    (strong). References are grey, and penalties that are added to the gradient are dashed.

    Args:
        kinds: All kinds of strategies of the report or page, in any order.
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        # In reverse alphabetical order, but wpl before wpl_schur: wpl always has the first colour.
        ordered = sorted(set(kinds), key=lambda kind: [-ord(letter) for letter in kind])
        self._kinds = [kind for kind in ordered if kind not in _GREYS]

    def of(self, shown: Mapping[Key, Cell], chosen: Container[Key] = ()) -> dict[Key, Style]:
        """Return the style of each line of a figure, or of all figures of a report.

        Args:
            shown: What is drawn, each with some of its runs.
            chosen: Those of ``shown`` that stand for a strategy at its chosen strengths, and so
                have no shade.
        """
        strategies: dict[str, list[str]] = {}
        strengths: dict[str, set[float]] = {}
        for key, cell in shown.items():
            own = strategies.setdefault(cell.variant.kind, [])
            if cell.variant.strategy not in own:
                own.append(cell.variant.strategy)
            dial = None if key in chosen else cell.variant.strength
            strengths.setdefault(cell.variant.kind, set()).update([] if dial is None else [dial])
        bases, markers = self._bases(strategies), self._markers(strategies)
        shades = {
            (kind, strategy): dict(zip(sorted(own), _ramp(bases[kind, strategy], own), strict=True))
            for kind, own in strengths.items()
            for strategy in strategies[kind]
        }
        found: dict[Key, Style] = {}
        dashed: dict[tuple[str, bool], list[str]] = {}
        for key, cell in shown.items():
            kind, strategy = cell.variant.kind, cell.variant.strategy
            base = bases[kind, strategy]
            dial = None if key in chosen else cell.variant.strength
            color = base if dial is None else shades[kind, strategy][dial]
            gradient = applied_as_gradient(cell)
            siblings = dashed.setdefault((base, gradient), [])
            if strategy not in siblings:
                siblings.append(strategy)
            dashes = _GRADIENTS if gradient else _DASHES
            wanted = dashes[siblings.index(strategy) % len(dashes)]
            place = strategies[kind].index(strategy)
            if kind in _GREYS and place == 0:
                wanted = _GREYS[kind][1]
            # The chosen strength may have the shade of another strength: lines must still differ.
            taken = [style.linestyle for style in found.values() if style.color == color]
            free = [line for line in (wanted, *dashes, *_DASHES) if line not in taken]
            line = free[0] if free else wanted
            found[key] = Style(color, line, markers[kind, strategy], base)
        return found

    def _bases(self, strategies: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
        """The colour of each strategy by kind and name."""
        crowded = [
            (kind, strategy)
            for kind, own in strategies.items()
            if len(own) > _SIBLINGS
            for strategy in own[1:]
        ]
        count = len(self._kinds) + len(crowded)
        safe = sns.color_palette("colorblind")
        palette = [safe[place] for place in _ORDER] if count <= len(_ORDER) else _apart(count)
        colors = {kind: to_hex(color) for kind, color in zip(self._kinds, palette, strict=False)}
        colors |= {kind: grey for kind, (grey, _, _) in _GREYS.items()}
        found = {(kind, name): colors[kind] for kind, own in strategies.items() for name in own}
        others = palette[len(self._kinds) :]
        return found | {each: to_hex(color) for each, color in zip(crowded, others, strict=False)}

    def _markers(self, strategies: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
        """The marker of each strategy by kind and name, different while there are enough."""
        found = {}
        for kind, own in strategies.items():
            if kind in _GREYS:
                found[kind, own[0]] = _GREYS[kind][2]
            else:
                found[kind, own[0]] = _MARKERS[self._kinds.index(kind) % len(_MARKERS)]
        free = [marker for marker in _MARKERS if marker not in found.values()]
        for kind, own in strategies.items():
            for strategy in own[1:]:
                found[kind, strategy] = (free := free or list(_MARKERS)).pop(0)
        return found


def styles(cells: Sequence[Cell]) -> dict[Variant, Style]:
    """Return the style of each variant, the same in every figure of a report.

    Args:
        cells: All of a report.
    """
    ordered = sorted(cells, key=lambda cell: cell.variant.order)
    kinds = {cell.variant.kind for cell in cells}
    return Styles(kinds).of({cell.variant: cell for cell in ordered})


def series_styles(labels: Sequence[str]) -> dict[str, Style]:
    """Return styles for lines that do not differ by strategy, such as estimators."""
    safe = sns.color_palette("colorblind")
    count = len(labels)
    palette = [safe[place] for place in _ORDER] if count <= len(_ORDER) else _apart(count)
    return {
        label: Style(color, "-", _MARKERS[place % len(_MARKERS)], color)
        for place, (label, color) in enumerate(zip(labels, map(to_hex, palette), strict=False))
    }


def applied_as_gradient(cell: Cell) -> bool:
    """Whether the penalty is added to the gradient, not minimised after each step."""
    settings = next(cell.runs).spec.strategy.settings
    return bool(settings.get("application") == "gradient")


def _apart(n: int) -> list[Any]:
    """Many colours; neighbours in the list are far apart in hue."""
    hues = sns.husl_palette(n, l=0.55)
    step = next(step for step in range(round(0.38 * n), n) if gcd(step, n) == 1)
    return [hues[place * step % n] for place in range(n)]


def _ramp(color: str, strengths: Collection[float]) -> list[str]:
    """Shades of a colour from the weakest strength (light) to the strongest (dark)."""
    if len(strengths) < 2:
        return [color] * len(strengths)
    light = sns.blend_palette(["white", color], 11)[5]
    dark = sns.blend_palette([color, "black"], 11)[5]
    return [to_hex(shade) for shade in sns.blend_palette([light, color, dark], len(strengths))]
