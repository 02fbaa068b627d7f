"""The ranking as a figure: means with intervals side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from palimpsest.benchmark.metrics import METRICS, Metric
from palimpsest.reports.analysis.ranking import Ranked, Standing, ranking_frame
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.labels import lines_of, wrapped
from palimpsest.reports.figures.drawing.marks import Mark, in_words, note, note_names
from palimpsest.reports.figures.drawing.plot import ALONE, Plot
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Variant, dial_of
from palimpsest.reports.wording.numbers import measured, quantity

_LABELS = 2.1  # inches beside the panels
_ROW, _LINE = 0.27, 0.15  # inches: the minimum height of a row, a line of a label
_NAME = 30  # letters per line of a label


def ranking_plot(standings: Sequence[Standing], styles: Mapping[Variant, Style]) -> Plot | None:
    """Show each strategy's mean by every metric, with its interval.

    ``None`` where there is nothing to compare.
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


def _bar(standing: Standing) -> str:
    """Explain the interquartile mean of a caption."""
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
    """Return the text of a row; ``what`` is what its mean is taken over."""
    if row.mean.value is None:
        return Mark((row.strategy,))
    mean, *rest = in_words(row.mean, measured(metric), metric.unit, what)
    if row.iqm.value is not None:
        rest.append(f"interquartile mean {quantity(metric, row.iqm.value)}")
    return Mark((row.strategy,), (row.label, f"{metric.title} {mean}", *rest), row.mean)


FIGURE = report.Figure(
    "means", report.RANKING, 1, lambda scope: ranking_plot(scope.standings, scope.styles),
    "finished runs of two strategies or more", notebook="ranking", shows="end",
)  # fmt: skip
