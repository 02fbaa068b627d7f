"""Colours, lines and markers: one assignment for the report and for written pages."""

from __future__ import annotations

from collections.abc import Collection, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from zlib import crc32

import seaborn as sns
from matplotlib.colors import to_hex

from palimpsest.benchmark.runs.record import ALONE, BASELINE, JOINT, LIMIT, Facts, Role
from palimpsest.reports.figures.drawing.colors import PALETTE, Identity, colors, identity, many
from palimpsest.reports.runs.cells import Cell, Variant

Key = TypeVar("Key", bound=Hashable)

_REFERENCES: Mapping[Role, tuple[Any, str]] = {
    BASELINE: ((0, ()), "s"),
    LIMIT: ((0, (4, 2)), "D"),
    ALONE: ((0, (1, 1.5)), "^"),
    JOINT: ((0, (5, 1.5, 1, 1.5)), "v"),
}
"""The line and the marker of each role."""

_MARKERS = "oPXpd*<>"
_SIBLINGS = 4  # the most strategies that share a colour
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
        linestyle: The style of its lines.
        marker: The strategy's marker.
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

    A kind of strategy has one colour (see ``colors``) and marker. Strategies with names of their
    own have colours of their own. Those that differ by settings alone (``wpl (samples 10)``) share
    a colour and have lines and markers of their own; beyond ``_SIBLINGS`` of them in a figure, the
    others get colours, too. Strengths are shades, from light (weak) to dark (strong). References
    are grey, and penalties that are added to the gradient are dashed.

    Args:
        strategies: Facts and names of all strategies of the report or page, in any order; those
            of one figure are enough where there is no other.
        alike: Names of strategies that keep the colour of their kind.
    """

    def __init__(
        self, strategies: Iterable[tuple[Facts, str]] = (), alike: Collection[str] = ()
    ) -> None:
        self._alike = alike
        self._known = {identity(*each, alike) for each in strategies}

    def of(self, shown: Mapping[Key, Cell], chosen: Container[Key] = ()) -> dict[Key, Style]:
        """Return the style of each line of a figure, or of all figures of a report.

        Args:
            shown: The runs of each line.
            chosen: Lines that show a strategy at its chosen strengths, and so have no shade.
        """
        strategies: dict[str, list[str]] = {}
        strengths: dict[str, set[float]] = {}
        facts = {cell.variant.kind: cell.variant.facts for cell in shown.values()}
        for key, cell in shown.items():
            own = strategies.setdefault(cell.variant.kind, [])
            if cell.variant.strategy not in own:
                own.append(cell.variant.strategy)
            dial = None if key in chosen else cell.variant.strength
            strengths.setdefault(cell.variant.kind, set()).update([] if dial is None else [dial])
        bases, markers = self._bases(strategies, facts), self._markers(strategies, facts)
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
            if cell.variant.is_reference and place == 0:
                wanted = _REFERENCES[cell.variant.role][0]
            # The chosen strength may have the shade of another strength: lines must still differ.
            taken = [style.linestyle for style in found.values() if style.color == color]
            free = [line for line in (wanted, *dashes, *_DASHES) if line not in taken]
            line = free[0] if free else wanted
            found[key] = Style(color, line, markers[kind, strategy], base)
        return found

    def _bases(
        self, strategies: Mapping[str, Sequence[str]], facts: Mapping[str, Facts]
    ) -> dict[tuple[str, str], str]:
        """The colour of each strategy by kind and name."""
        shared: dict[Identity, list[tuple[str, str]]] = {}
        for kind, own in strategies.items():
            for name in own:
                key = identity(facts[kind], name, self._alike)
                shared.setdefault(key, []).append((kind, name))
        keys: dict[tuple[str, str], Identity] = {}
        for key, members in shared.items():
            others = members[1:] if len(members) > _SIBLINGS else []
            keys |= dict.fromkeys(members, key)
            keys |= {each: Identity(f"{each[0]}: {each[1]}") for each in others}
        found = colors({*self._known, *keys.values()})
        return {each: found[key] for each, key in keys.items()}

    def _markers(
        self, strategies: Mapping[str, Sequence[str]], facts: Mapping[str, Facts]
    ) -> dict[tuple[str, str], str]:
        """The marker of each strategy by kind and name, different while there are enough."""
        found = {}
        for kind, own in strategies.items():
            if facts[kind].is_reference:
                found[kind, own[0]] = _REFERENCES[facts[kind].role][1]
            else:
                found[kind, own[0]] = _marker(facts[kind])
        free = [marker for marker in _MARKERS if marker not in found.values()]
        for kind, own in strategies.items():
            for strategy in own[1:]:
                found[kind, strategy] = (free := free or list(_MARKERS)).pop(0)
        return found


def styles(cells: Sequence[Cell]) -> dict[Variant, Style]:
    """Return the style of each variant of a report, the same in all of its figures."""
    ordered = sorted(cells, key=lambda cell: cell.variant.order)
    strategies = {(cell.variant.facts, cell.variant.strategy) for cell in cells}
    return Styles(strategies).of({cell.variant: cell for cell in ordered})


def style_of(variant: Variant, known: Mapping[Variant, Style]) -> Style:
    """Return the style of a variant that may be a strategy at several of the known strengths.

    Such a variant has the strategy's colour without a shade.
    """
    if variant in known:
        return known[variant]
    own = next(look for one, look in known.items() if one.strategy == variant.strategy)
    return replace(own, color=own.base)


def series_styles(labels: Sequence[str]) -> dict[str, Style]:
    """Return styles for lines that do not differ by strategy, such as estimators."""
    palette = PALETTE if len(labels) <= len(PALETTE) else many(len(labels))
    return {
        label: Style(color, "-", _MARKERS[place % len(_MARKERS)], color)
        for place, (label, color) in enumerate(zip(labels, palette, strict=False))
    }


def applied_as_gradient(cell: Cell) -> bool:
    """Whether the penalty is added to the gradient, not minimised after each step."""
    settings = next(cell.runs).spec.strategy.settings
    return bool(settings.get("application") == "gradient")


def _marker(facts: Facts) -> str:
    """The marker of a kind, the same in every report."""
    known = facts.color in PALETTE
    place = PALETTE.index(facts.color or "") if known else crc32(facts.name.encode())
    return _MARKERS[place % len(_MARKERS)]


def _ramp(color: str, strengths: Collection[float]) -> list[str]:
    """Shades of a colour from the weakest strength (light) to the strongest (dark)."""
    if len(strengths) < 2:
        return [color] * len(strengths)
    light = sns.blend_palette(["white", color], 11)[5]
    dark = sns.blend_palette([color, "black"], 11)[5]
    return [to_hex(shade) for shade in sns.blend_palette([light, color, dark], len(strengths))]
