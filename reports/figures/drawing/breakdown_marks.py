"""Crosses where seeds diverged or broke down, the same in every figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.transforms import Transform

from palimpsest.benchmark.runs.record import Dial
from palimpsest.reports.analysis.remarks.breakdown import LEAST_FALL, Breakdown
from palimpsest.reports.figures.drawing.labels import wrapped
from palimpsest.reports.figures.drawing.settings import INK
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Variant, dial_of
from palimpsest.reports.wording.numbers import DASH, strength_text


def marked(dial: Dial) -> str:
    """Return the sentence of a caption that explains the crosses."""
    return (
        f"A cross marks a {dial.name} that lost seeds, and how many: they diverged (no longer "
        "finite; they count in no mean) or broke down (keep and learn at least "
        f"{100 * LEAST_FALL:.0f} points less than at a {dial.less} {dial.name})."
    )


_HEIGHT = 5.0  # points from a cross to its number


def mark_loss(
    ax: Axes, x: float, y: float, loss: Breakdown, transform: Transform, color: str = INK
) -> tuple[Artist, Artist]:
    """Draw a cross with the number of lost seeds above it, and return the number and the cross.

    ``x`` and ``y`` are in the coordinates of ``transform``.
    """
    (cross,) = ax.plot(
        x, y, "x", color=color, markersize=6, markeredgewidth=1.6, transform=transform,
        clip_on=False, zorder=5,
    )  # fmt: skip
    number = ax.annotate(
        str(loss.lost), (x, y), xycoords=transform, xytext=(0, _HEIGHT),
        textcoords="offset points", ha="center", va="bottom", fontsize=7.5, color=INK,
    )  # fmt: skip
    return number, cross


def draw_margin(
    ax: Axes,
    losses: Sequence[Breakdown],
    styles: Mapping[Variant, Style],
    names: Mapping[str, str],
    letters: int,
) -> None:
    """Show losses of one scenario that have no place in a figure: strategies by strengths.

    Args:
        ax: Empty axes for these alone; the names take the left half.
        losses: The lost seeds.
        styles: The style of each variant.
        names: The name of each strategy for the reader.
        letters: The length of a line of a name.
    """
    rows = list(dict.fromkeys(loss.variant.strategy for loss in losses))
    strengths = sorted({_order(loss.variant) for loss in losses})
    for row, strategy in enumerate(rows):
        text = wrapped(names[strategy], letters)
        ax.text(0.0, row, text, transform=ax.get_yaxis_transform(), va="center")
    for loss in losses:
        x, y = strengths.index(_order(loss.variant)), rows.index(loss.variant.strategy)
        mark_loss(ax, x, y, loss, ax.transData, styles[loss.variant].base)
    count = len(strengths)
    ax.set(xlim=(-0.8 * count - 0.6, count - 0.4), ylim=(len(rows) - 0.35, -0.9), yticks=[])
    labels = [DASH if strength < 0 else strength_text(strength) for strength in strengths]
    ax.set_xticks(range(count), labels)
    dial = dial_of(loss.variant for loss in losses)
    ax.set_xlabel(f"seeds lost, by {dial.name}")
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False)


def _order(variant: Variant) -> float:
    """Sort key: variants without a strength first."""
    return -1.0 if variant.strength is None else variant.strength
