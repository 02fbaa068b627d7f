"""Performance profiles as a figure: the share of runs above each accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from matplotlib.figure import Figure
from matplotlib.legend import Legend

from palimpsest.benchmark.metrics import AVERAGE, METRICS
from palimpsest.reports.analysis.profiles import ENOUGH_RUNS, Profiles, profiles
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.canvas import canvas, line_keys
from palimpsest.reports.figures.drawing.curves import draw_curves
from palimpsest.reports.figures.drawing.labels import wrapped
from palimpsest.reports.figures.drawing.marks import Mark, note, note_each
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Variant, dial_of
from palimpsest.reports.statistics.interval import FEWEST_SEEDS
from palimpsest.reports.wording.numbers import percent
from palimpsest.reports.wording.words import several

_ROUNDING = 1e-9  # of a share
_NAME = 40  # letters per line of a strategy's name in the legend


def profile_plot(found: Profiles | None, styles: Mapping[Variant, Style]) -> Plot | None:
    """Show how large a share of each strategy's runs is above each accuracy.

    ``None`` where there is nothing to compare.
    """
    if found is None:
        return None
    frame = found.frame()
    looks: dict[str, Style] = {}
    for variant, look in styles.items():
        if variant.strategy in found.by_strategy:
            looks.setdefault(variant.strategy, replace(look, color=look.base))
    metric = METRICS[AVERAGE]
    dial = dial_of(variant for variant in styles if variant.strategy in found.by_strategy)

    def draw() -> Figure:
        drawn = frame.assign(phase=0, x=100 * frame["threshold"])
        drawn = drawn.assign(**{to: 100 * frame[of] for to, of in _SHARES.items()})
        drawn = drawn.assign(low=drawn["low"].fillna(drawn["mean"]))
        drawn = drawn.assign(high=drawn["high"].fillna(drawn["mean"]))
        keys = line_keys(looks, {own: wrapped(own, _NAME) for own in looks}, marked=False)
        figure, [[ax]] = canvas([2.6], 1, keys)
        draw_curves(ax, [(look, drawn[drawn["strategy"] == own]) for own, look in looks.items()])
        bands, lines = ax.collections
        note_each([Mark((own,)) for own in looks], bands)
        note_each([_mark(own, found) for own in looks], lines)
        _note_legend(figure.legends[0], looks)
        ax.autoscale_view()
        ax.set(ylim=(-2, 102), yticks=range(0, 101, 25))
        ax.set_xlabel(f"τ: {metric.title}, {metric.unit}")
        ax.set_ylabel("runs above τ, %")
        return figure

    weight = " Each scenario has the same weight." if len(found.scenarios) > 1 else ""
    return Plot(
        "Performance profiles",
        f"The share of a strategy’s runs whose {metric.title} ({metric.meaning}) is above τ, at "
        f"the {dial.plural} that were chosen on validation data. A line that is higher everywhere "
        "belongs to the better strategy; where lines cross, it depends on how much a run must "
        f"reach.{weight} Bands are 95 % intervals over seeds for each τ by itself, from "
        f"{FEWEST_SEEDS} seeds on; where all runs agree, a band has no width.",
        f"Performance profiles by {metric.title} over {', '.join(found.scenarios)} of "
        f"{', '.join(looks)}",
        frame,
        draw,
    )


def _mark(strategy: str, found: Profiles) -> Mark:
    """Return the text of a line: where it begins to fall, where it is at half and where it ends."""
    own = found.by_strategy[strategy]
    ends = {
        "all runs are above": own.thresholds[own.share > 1 - _ROUNDING][-1],
        "half of the runs are above": own.thresholds[own.share > 0.5 - _ROUNDING][-1],
        "no run is above": own.thresholds[own.share < _ROUNDING][0],
    }
    words = (f"{who} {percent(float(threshold))} %" for who, threshold in ends.items())
    return Mark((strategy,), (strategy, *words, several(own.n, "run")))


def _note_legend(legend: Legend, strategies: Iterable[str]) -> None:
    """Name the entries of a legend, which has its own order; those that read alike share one."""
    by_text: dict[str, tuple[str, ...]] = {}
    for strategy in strategies:
        text = wrapped(strategy, _NAME)
        by_text[text] = (*by_text.get(text, ()), strategy)
    for handle, entry in zip(legend.legend_handles, legend.get_texts(), strict=True):
        named = by_text[entry.get_text()]
        note(Mark(named, named), *filter(None, [handle]), entry)


_SHARES = {"mean": "share", "low": "low", "high": "high"}


FIGURE = report.Figure(
    "profile", report.RANKING, 3,
    lambda scope: profile_plot(profiles(scope.choices, scope.scenarios), scope.styles),
    f"{ENOUGH_RUNS} finished runs or more of two strategies", shows="end",
)  # fmt: skip
