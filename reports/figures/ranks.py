"""Average ranks over scenarios, and which strategies are not significantly different."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from palimpsest.benchmark.metrics import METRICS
from palimpsest.reports.analysis.ranking import Standing, ranking_frame
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.labels import lines_of, wrapped
from palimpsest.reports.figures.drawing.marks import Mark, note
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.settings import INK
from palimpsest.reports.wording.words import joined, several

_LINE = 0.15  # inches: a line of a name
_BESIDE = 22  # letters per line of a name
_NUMBERED = 15  # ranks that have room for the number of each


def critical_difference_plot(
    standings: Sequence[Standing], names: Mapping[str, str] | None = None
) -> Plot | None:
    """Show average ranks over scenarios, and which strategies are not significantly different.

    Args:
        standings: Of several scenarios, one per metric.
        names: Other names of strategies.

    Returns:
        The plot, or ``None`` where there are too few scenarios or strategies.
    """
    known = [s for s in standings if s.ranks.critical_difference is not None]
    if not known:
        return None

    def draw() -> Figure:
        heights = [_diagram_height(standing, names or {}) for standing in known]
        figure = Figure(figsize=(7.6, sum(heights)))
        top = 1.0
        for standing, height in zip(known, heights, strict=True):
            share = height / sum(heights)
            top -= share
            _draw_diagram(figure.add_axes((0.03, top, 0.94, share)), standing, names or {})
        return figure

    return Plot(
        "Ranks over scenarios",
        "Average rank over seeds and scenarios, 1 is best. A black bar joins strategies that are "
        "not significantly different at 5 %: their ranks differ by less than the critical "
        "difference, CD. The p-value is of a permutation test, with Friedman’s statistic, of "
        "whether there is any difference at all. Both permute whole seeds, since scenarios share "
        "them: they say something about other seeds, not about other scenarios.",
        "Critical-difference diagrams of average ranks by "
        f"{', '.join(METRICS[standing.metric].title for standing in known)}",
        ranking_frame(known),
        draw,
    )


def _pitch(standing: Standing, names: Mapping[str, str]) -> float:
    """Inches from a name to the next."""
    average = standing.ranks.average
    texts = [_rank_text(names.get(name, name), rank) for name, rank in average.items()]
    return 0.05 + _LINE * lines_of(texts, _BESIDE)


def _rank_text(name: str, average: float, before: bool = False) -> str:
    return f"{average:.2f}, {name}" if before else f"{name}, {average:.2f}"


def _diagram_height(standing: Standing, names: Mapping[str, str]) -> float:
    rows = _pitch(standing, names) * ((len(standing.ranks.average) + 1) // 2)
    return 1.05 + rows + 0.1 * len(standing.ranks.groups)


def _draw_diagram(ax: Axes, standing: Standing, names: Mapping[str, str]) -> None:
    """Ranks on a line, names below it on both sides, bars over ranks that do not clearly differ."""
    ranks, count = standing.ranks, len(standing.ranks.average)
    half, pitch = (count + 1) // 2, _pitch(standing, names)
    bars = 0.1 * len(ranks.groups) + 0.12
    height = _diagram_height(standing, names)
    margin, gap = 0.42 * (count - 1), 0.01 * (count - 1)
    ax.set(xlim=(1 - margin, count + margin), ylim=(height - 0.62, -0.62))
    ax.set_axis_off()
    line: dict[str, Any] = {"color": INK, "linewidth": 0.8}
    ax.plot([1, count], [0, 0], **line)
    for rank in range(1, count + 1):
        ax.plot([rank, rank], [-0.06, 0], **line)
        if count <= _NUMBERED or rank % 5 == 0 or rank == 1:
            ax.text(rank, -0.1, str(rank), ha="center", va="bottom", fontsize=8)
    title = METRICS[standing.metric].title
    ax.text(1 - margin, -0.5, title, fontsize=9, va="center")
    test = (
        f"permutation test of Friedman’s statistic: p = {ranks.p:.2g}, {ranks.seeds} seeds in "
        f"{ranks.scenarios} scenarios"
    )
    ax.text(count + margin, -0.5, test, fontsize=8, va="center", ha="right", color="#666666")
    difference = ranks.critical_difference or 0.0
    ax.plot([1, 1 + difference], [-0.33, -0.33], color=INK, linewidth=1.4)
    ax.text(1 + difference + gap, -0.33, f"CD {difference:.2f}", fontsize=8, va="center")
    blocks = f"{several(ranks.seeds, 'seed')} in {several(ranks.scenarios, 'scenario')}"
    for level, group in enumerate(ranks.groups):
        low, high = (end(ranks.average[name] for name in group) for end in (min, max))
        y = 0.1 + 0.1 * level
        (bar,) = ax.plot([low - 0.03, high + 0.03], [y, y], color="black", linewidth=3)
        members = [names.get(name, name) for name in group]
        note(Mark(group, (joined(members), "not significantly different at 5 %")), bar)
    for place, (name, average) in enumerate(ranks.average.items()):
        left = place < half
        y = bars + pitch * ((place if left else count - 1 - place) + 0.5)
        edge = 1 - 0.06 * margin if left else count + 0.06 * margin
        (lead,) = ax.plot([average, average, edge], [0, y, y], **line)
        shown = names.get(name, name)
        text = wrapped(_rank_text(shown, average, before=not left), _BESIDE)
        beside, side = (-gap, "right") if left else (gap, "left")
        words = ax.text(edge + beside, y, text, fontsize=8.5, va="center", ha=side)
        note(Mark((name,), (shown, f"average rank {average:.2f}", blocks)), lead, words)


FIGURE = report.Figure(
    "ranks", report.RANKING, 2, lambda scope: critical_difference_plot(scope.standings),
    "finished runs of several scenarios that share seeds and strategies", shows="end",
)  # fmt: skip
