"""Scores over the strengths of each strategy: how much depends on the choice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from palimpsest.benchmark.metrics import AVERAGE
from palimpsest.reports.analysis.choosing.choice import Choice, Tried, crossed, rule, stands_for
from palimpsest.reports.analysis.remarks.breakdown import Breakdown, breakdowns
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.breakdown_marks import mark_loss, marked
from palimpsest.reports.figures.drawing.canvas import Margins, canvas
from palimpsest.reports.figures.drawing.intervals import draw_intervals
from palimpsest.reports.figures.drawing.labels import lines_of, wrapped
from palimpsest.reports.figures.drawing.marks import Mark, in_words, note, note_names
from palimpsest.reports.figures.drawing.plot import SPREAD, Plot
from palimpsest.reports.figures.drawing.settings import INK
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Variant, dial_of
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.wording.numbers import percent
from palimpsest.reports.wording.words import several

VALIDATION = "validation_accuracy"
SHOWN = (AVERAGE, "stability", "learning_accuracy", "forgetting_reduction")
"""Test metrics that are shown beside the validation score."""

_COLUMNS = 3
_Line = tuple[str, str | tuple[int, tuple[float, ...]], str]
_RULE: dict[str, _Line] = {VALIDATION: ("validation, all models (the rule)", "-", "o")}
_LINES = _RULE | {
    "stability": ("test, earlier models", (0, (4, 2)), "s"),
    "learning_accuracy": ("test, new models", (0, (1, 1.5)), "^"),
}
"""The name, line and marker of each score."""

_BY_TURNS = _RULE | {AVERAGE: ("test, all models", (0, (4, 2)), "s")}
"""The same where no model is earlier or new."""

_ASIDE = 3.0  # points between scores of one strength, whose intervals would hide each other
_NAME = 30  # letters per line of a strategy's name above its panel


def sweep_plot(choices: Sequence[Choice], styles: Mapping[Variant, Style]) -> Plot | None:
    """Show scores over strengths, a panel per strategy with several strengths.

    ``None`` where no strategy has several strengths with final accuracies.
    """
    swept = [choice for choice in choices if choice.budget > 1 and _has_scores(choice)]
    if not swept:
        return None
    losses = _losses(choices)
    frames = [_frame(choice, losses) for choice in swept]
    rows = -(-len(swept) // _COLUMNS)
    across = min(len(swept), _COLUMNS)
    head = 0.15 + 0.15 * lines_of((choice.strategy for choice in swept), _NAME)

    def draw() -> Figure:
        width = 0.8 + 2.75 * across + 2.1
        margins = Margins(right=2.1, top=head, bottom=0.45, across=0.26, down=0.45 + head)
        figure, grid = canvas([1.4] * rows, across, margins=margins, width=width, sharey=True)
        axes = [ax for row in grid for ax in row]
        for ax, choice in zip(axes, swept, strict=False):
            _draw_scores(ax, choice, styles)
        if losses:
            _leave_margin(axes[0])
        for ax, choice in zip(axes, swept, strict=False):
            _draw_losses(ax, choice, losses)
        for ax in axes[len(swept) :]:
            ax.set_axis_off()
        figure.supylabel("accuracy, %", fontsize=8.5, x=0.08 / width, ha="left")
        axes[across - 1].legend(loc="upper left", bbox_to_anchor=(1.03, 1.03), borderaxespad=0)
        return figure

    dial = dial_of(tried.cell.variant for choice in swept for tried in choice.tried)
    return Plot(
        f"How much depends on the {dial.name}",
        f"The wide vertical lines mark the {dial.plural} at which the strategy is reported, darker "
        f"for more seeds: {crossed(dial)}, which is {rule(dial)}. Test accuracies show what other "
        f"{dial.plural} would have given; they play no part in the choice. "
        f"{SPREAD}{f' {marked(dial)}' if losses else ''}",
        f"Validation and test accuracy over {dial.plural} in {choices[0].scenario}, for "
        f"{', '.join(choice.strategy for choice in swept)}",
        pd.concat(frames, ignore_index=True),
        draw,
    )


def _has_scores(choice: Choice) -> bool:
    """Whether there is anything to draw: runs that finished may have no accuracies."""
    return any(found.value is not None for tried in choice.tried for _, found in _scores(tried))


def sweep_frame(choice: Choice) -> pd.DataFrame:
    """Return how scores depend on the strength: one row per strength and metric.

    Columns: strength, metric (``VALIDATION`` or one of ``SHOWN`` that some run has), mean, low,
    high, n, chosen (whether this strength was chosen on all seeds), reported (the number of seeds
    that are reported at it), excluded (why it could not be chosen, else ``None``).
    """
    rows = [
        (tried.cell.variant.strength, metric, found.value, found.low, found.high, found.n,
         tried.cell is choice.cell, stands_for(choice, tried.cell), tried.excluded)
        for tried in choice.tried
        for metric, found in _scores(tried)
    ]  # fmt: skip
    columns = ["strength", "metric", "mean", "low", "high", "n", "chosen", "reported", "excluded"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(("strength", "mean", "low", "high"), float))


def _scores(tried: Tried) -> Iterator[tuple[str, Estimate]]:
    yield VALIDATION, tried.validation
    for metric in SHOWN:
        found = tried.cell.interval(metric)
        if found.value is not None:
            yield metric, found


def _losses(choices: Sequence[Choice]) -> dict[Variant, Breakdown]:
    cells = [tried.cell for choice in choices for tried in choice.tried]
    return {loss.variant: loss for loss in breakdowns(cells)}


def _frame(choice: Choice, losses: Mapping[Variant, Breakdown]) -> pd.DataFrame:
    """The scores, with the seeds that each strength lost."""
    by_strength = {
        variant.strength: (len(loss.diverged), len(loss.broken))
        for variant, loss in losses.items()
        if variant.strategy == choice.strategy
    }
    frame = sweep_frame(choice).assign(strategy=choice.strategy)
    counts = [by_strength.get(strength, (0, 0)) for strength in frame["strength"]]
    return frame.assign(diverged=[a for a, _ in counts], broke_down=[b for _, b in counts])


def _leave_margin(ax: Axes) -> None:
    """Keep the bottom of all panels, which share their y axis, free for the crosses."""
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.18 * (high - low), high)


def _draw_losses(ax: Axes, choice: Choice, losses: Mapping[Variant, Breakdown]) -> None:
    for place, tried in enumerate(choice.tried):
        loss = losses.get(tried.cell.variant)
        if loss is not None:
            drawn = mark_loss(ax, place, 0.05, loss, ax.get_xaxis_transform())
            counts = {"diverged": loss.diverged, "broke down": loss.broken}
            told = [f"{several(len(of), 'seed')} {how}" for how, of in counts.items() if of]
            note(Mark((choice.strategy,), (loss.variant.label, *told)), *drawn)


def _draw_scores(ax: Axes, choice: Choice, styles: Mapping[Variant, Style]) -> None:
    variants = [tried.cell.variant for tried in choice.tried]
    color = styles[variants[0]].base
    scores = [
        (spot, metric, found)
        for spot, tried in enumerate(choice.tried)
        for metric, found in _scores(tried)
    ]
    in_turn = any(record.accuracy_matrix for tried in choice.tried for record in tried.cell.done)
    lines = _LINES if in_turn else _BY_TURNS
    middle = (len(lines) - 1) / 2
    for position, (metric, (label, line, marker)) in enumerate(lines.items()):
        own = [(spot, found) for spot, name, found in scores if name == metric]
        shade = color if metric == VALIDATION else INK
        draw_intervals(
            ax, [spot for spot, _ in own], [found for _, found in own], 100,
            Style(shade, line, marker, shade), aside=_ASIDE * (position - middle), marker=4,
            label=wrapped(label, 24),
            marks=[_mark(variants[spot], label, found) for spot, found in own],
        )  # fmt: skip
    counts = [stands_for(choice, tried.cell) for tried in choice.tried]
    for spot, count in enumerate(counts):
        if count:
            ax.axvline(spot, color=color, alpha=0.25 * count / sum(counts), linewidth=7, zorder=0)
    ax.set_xlim(-0.3, len(variants) - 0.7)
    ax.set_xticks(range(len(variants)), [v.value or "0" for v in variants])
    title = ax.set_title(wrapped(choice.strategy, _NAME), loc="left")
    note(Mark((choice.strategy,)), ax)
    note_names([choice.strategy], [title], [choice.strategy])
    ax.set_xlabel(variants[0].dial.name)
    ax.grid(visible=False, axis="x")


def _mark(variant: Variant, score: str, found: Estimate) -> Mark:
    mean, *rest = in_words(found, percent, "%")
    return Mark((variant.strategy,), (variant.label, f"{score}: {mean}", *rest), found)


FIGURE = report.Figure(
    "sweep", "protection", 3, lambda scope: sweep_plot(scope.choices, scope.styles),
    "finished runs of a strategy at several strengths", notebook="strengths", shows="end",
)  # fmt: skip
