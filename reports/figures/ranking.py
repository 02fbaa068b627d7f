"""The ranking as figures: means with intervals side by side, and critical differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from palimpsest.benchmark.metrics import METRICS, Metric
from palimpsest.reports.analysis.ranking import Ranked, Standing, ranking_frame
from palimpsest.reports.figures.drawing.captions import ALONE
from palimpsest.reports.figures.drawing.labels import lines_of, wrapped
from palimpsest.reports.figures.drawing.marks import Mark, in_words, note, note_names
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.settings import INK
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Variant, dial_of
from palimpsest.reports.wording.numbers import measured, quantity
from palimpsest.reports.wording.words import joined, several

_LABELS = 2.1  # inches beside the panels
_ROW, _LINE = 0.27, 0.15  # inches: the minimum height of a row, a line of a label
_NAME = 30  # letters per line of a label
_BESIDE = 22  # letters per line of a label in the diagram of ranks
_NUMBERED = 15  # ranks that have room for the number of each


def ranking_plot(
    standings: Sequence[Standing], styles: Mapping[Variant, Style], name: str
) -> Plot | None:
    """Show each strategy's mean by every metric, with its interval.

    Args:
        standings: Of the same scenarios, one per metric.
        styles: Of each variant.
        name: Unique in the report.

    Returns:
        The plot, or ``None`` where there is nothing to compare.
    """
    if not standings or len(standings[0].rows) < 2:
        return None
    strategies = [row.strategy for row in standings[0].rows]
    labels = [row.label for row in standings[0].rows]
    dial = dial_of(v for row in standings[0].rows for v in row.variants.values()).plural
    tall = max(_ROW, 0.06 + _LINE * lines_of(labels, _NAME)) * len(strategies)

    def draw() -> Figure:
        width, height = _LABELS + 2.1 * len(standings), 0.75 + tall
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(
            1, len(standings), squeeze=False, sharey=True,
            gridspec_kw={
                "left": _LABELS / width, "right": 0.985, "bottom": 0.42 / height,
                "top": 1 - 0.3 / height, "wspace": 0.12,
            },
        )[0]  # fmt: skip
        for ax, standing in zip(axes, standings, strict=True):
            for row in standing.rows:
                if row.strategy in strategies:
                    metric = METRICS[standing.metric]
                    drawn = _draw_row(ax, row, strategies.index(row.strategy), styles, metric.scale)
                    what = "seed" if len(standing.scenarios) == 1 else "run"
                    note(_mark(row, metric, what), *drawn)
            ax.set_title(METRICS[standing.metric].title, loc="left")
            ax.set_xlabel(METRICS[standing.metric].unit)
            ax.grid(axis="x", color="black", alpha=0.1, linewidth=0.6)
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
            ax.locator_params(axis="x", nbins=4)
        axes[0].set_ylim(len(strategies) - 0.4, -0.6)
        axes[0].set_yticks(range(len(labels)), [wrapped(label, _NAME) for label in labels])
        note_names(strategies, axes[0].get_yticklabels(), labels)
        return figure

    return Plot(
        name,
        "Side by side",
        f"Mean over seeds with its 95 % interval ({ALONE}), each strategy at the {dial} that "
        "were chosen for it on validation data; ordered by "
        f"{METRICS[standings[0].metric].title}. {_bar(standings[0])} Overlapping intervals do not "
        "show that two strategies are equal; use the paired differences in the tables below.",
        f"Means with 95 % intervals of {len(strategies)} strategies by "
        f"{', '.join(METRICS[s.metric].title for s in standings)}",
        ranking_frame(standings),
        draw,
    )


def critical_difference_plot(
    standings: Sequence[Standing], name: str, names: Mapping[str, str] | None = None
) -> Plot | None:
    """Show average ranks over scenarios, and which strategies are not significantly different.

    Args:
        standings: Of several scenarios, one per metric.
        name: Unique in the report.
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
        name,
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


def _bar(standing: Standing) -> str:
    """What the interquartile mean tells beside the mean."""
    if len(standing.scenarios) == 1:
        return (
            "The small bar is the interquartile mean: if it is far from the mean, single seeds "
            "weigh heavily."
        )
    return (
        "The small bar is the interquartile mean, of the middle half of all runs of all scenarios: "
        "far from the mean, which gives each scenario the same weight, single runs weigh heavily "
        "or, as is common, scenarios differ in level."
    )


def _draw_row(
    ax: Axes, row: Ranked, place: int, styles: Mapping[Variant, Style], scale: float
) -> list[Line2D]:
    """Draw a strategy's mean, the marker last, with its interval or seeds and the other mean."""
    if row.mean.value is None:
        return []
    drawn = []
    # A strategy's colour and marker are those of each of its strengths.
    look = next(look for variant, look in styles.items() if variant.strategy == row.strategy)
    if row.mean.low is not None and row.mean.high is not None:
        ends = [scale * row.mean.low, scale * row.mean.high]
        drawn += ax.plot(ends, [place, place], color=look.base, linewidth=2.4, alpha=0.45)
    elif len(row.mean.seeds) > 1:
        seeds = [scale * value for value in row.mean.seeds]
        drawn += ax.plot(seeds, [place] * len(seeds), ".", color=look.base, alpha=0.5, markersize=5)
    if row.iqm.value is not None:
        x = scale * row.iqm.value
        drawn += ax.plot([x, x], [place - 0.22, place + 0.22], color=look.base, linewidth=1.2)
    drawn += ax.plot(
        scale * row.mean.value, place, look.marker, color=look.base, markersize=6,
        markeredgecolor="white", markeredgewidth=0.5,
    )  # fmt: skip
    return drawn


def _mark(row: Ranked, metric: Metric, what: str) -> Mark:
    """What a row tells: its mean and interquartile mean; ``what`` is what a mean is taken over."""
    if row.mean.value is None:
        return Mark((row.strategy,))
    mean, *rest = in_words(row.mean, measured(metric), metric.unit, what)
    if row.iqm.value is not None:
        rest.append(f"interquartile mean {quantity(metric, row.iqm.value)}")
    return Mark((row.strategy,), (row.label, f"{metric.title} {mean}", *rest), row.mean)


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
