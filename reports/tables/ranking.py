"""The ranking, the choice of strengths and the frontiers, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.runs.record import Dial
from palimpsest.reports.analysis.choosing.choice import (
    RULE,
    Choice,
    crossed,
    rule,
    stands_for,
)
from palimpsest.reports.analysis.choosing.coarseness import gaps
from palimpsest.reports.analysis.frontier import Frontiers
from palimpsest.reports.analysis.ranking import Ranked, Standing, ranking_frame
from palimpsest.reports.runs.cells import dial_of
from palimpsest.reports.statistics.interval import FEWEST_SEEDS
from palimpsest.reports.statistics.pairs import PairedComparison
from palimpsest.reports.tables.table import BRACKETS, Column, Noted, Row, Table, Value
from palimpsest.reports.wording.numbers import decimals, measured, percent
from palimpsest.reports.wording.words import several as counted

_EFFECT = (
    "difference in standard deviations of the paired differences, with Hedges’ correction for few "
    "pairs; none where they do not vary"
)
_TEST = (
    "how often chance alone gives a mean difference at least as far from zero as that to "
    "fine-tuning: the t-test of the pairs that the interval inverts, two-sided; below 0.05 where "
    "the interval excludes zero, and nowhere else"
)
_CORRECTED = (
    "the same p, corrected (Holm) for the strategies in the table: of tables in which nothing "
    "differs, one in twenty has a value below 0.05; a difference whose interval excludes zero may "
    "not survive it"
)
_TO_BEST = (
    "difference paired by seed; the best was picked on the same runs, which biases the difference "
    "in its favour: by about half a standard deviation over seeds where all are equally good"
)
_P_TO_BEST = (
    "of the difference to the best likewise, but corrected (Holm) for all pairs of strategies, "
    "since any could have been the best; if several are the best, against the one with the "
    "largest p"
)
_IQM = (
    "interquartile mean: mean of the middle half of all runs{}; a ratio of means, such as "
    "forgetting reduction, has neither this nor a median"
)
_TOGETHER = " of all scenarios together, so that scenarios of other levels may be cut off whole"
_IMPROVEMENT = (
    "probability of improvement over fine-tuning: the share of pairs of one seed in which the "
    "strategy is better, ties counted half; with Wilson’s interval"
)
_SMALLEST_SHOWN = 0.001
"""Smaller p-values are written as below it."""


def ranking_table(standing: Standing) -> Table:
    """Show one metric: values, and each strategy's difference from fine-tuning and the best."""
    metric = METRICS[standing.metric]
    unit, write, difference = metric.unit, measured(metric), measured(replace(metric, signed=True))
    several = len(standing.scenarios) > 1
    dial = dial_of(variant for ranked in standing.rows for variant in ranked.variants.values())
    columns = [
        Column(f"strategy, {dial.name}" if not several else "strategy", words=True),
        *([Column("rank", "", "average over seeds and scenarios, 1 is best", decimals)] * several),
        Column(
            "mean",
            unit,
            "over scenarios of the mean over seeds" if several else "over seeds",
            write,
        ),
        Column("IQM", unit, _IQM.format(_TOGETHER if several else ""), write, detail=True),
        Column("median", unit, "over all runs", write, detail=True),
    ]
    columns += [
        Column("to fine-tuning", metric.difference_unit, "difference paired by seed", difference),
        Column("effect", "d_z", _EFFECT, _signed, detail=True),
        Column("P(better)", "%", _IMPROVEMENT, _whole),
        Column("p", "", _TEST, _p),
        Column("p corrected", "Holm", _CORRECTED, _p),
        Column("to the best", metric.difference_unit, _TO_BEST, difference, detail=True),
        Column("effect to best", "d_z", "likewise", _signed, detail=True),
        Column("p to best", "Holm", _P_TO_BEST, _p, detail=True),
        Column("runs"),
    ]  # fmt: skip
    rows = [
        Row(_cells(ranked, standing, several=several), strategies=(ranked.strategy,))
        for ranked in standing.rows
    ]
    where = ", ".join(standing.scenarios)
    best = f" The best: {standing.best_text}." if standing.best else ""
    if not rows:
        best = " No strategy has finished runs in each of them, so none is ranked."
    return Table(
        metric.title,
        f"By {metric.title}, {where}.{best} {BRACKETS}",
        columns,
        rows,
        ranking_frame([standing]),
    )


def choice_table(choices: Sequence[Choice]) -> Table | None:
    """Show the strength at which each strategy is reported, and how many it was chosen from.

    ``None`` where no strategy has strengths to choose from.
    """
    swept = [choice for choice in choices if choice.budget > 1]
    if not swept:
        return None
    dial = dial_of(tried.cell.variant for choice in swept for tried in choice.tried)
    columns = [
        Column("strategy", words=True),
        Column(f"{dial.plural} tried"),
        Column("reported at", "", f"the {dial.plural} used in every comparison"),
        Column("chosen on all seeds", "", "the one to use next time"),
        Column("its score", "%", "average validation accuracy of all models at the end", percent),
        Column(f"{dial.less} neighbour", "%", "", percent),
        Column(f"{dial.more} neighbour", "%", "", percent),
    ]
    scores = [
        (choice.strategy, tried.cell.variant.strength, *tried.validation.ends, tried.validation.n,
         tried.cell is choice.cell, stands_for(choice, tried.cell))
        for choice in swept
        for tried in choice.tried
    ]  # fmt: skip
    names = ["strategy", "strength", "validation_accuracy", "low", "high", "seeds", "chosen"]
    reasons = dict.fromkeys(choice.reason for choice in swept)
    how = "; ".join(f"{rule(dial)}; {crossed(dial)}" if r == RULE else r for r in reasons)
    return Table(
        f"The chosen {dial.name}",
        f"Chosen on the validation split only: {how}",
        columns,
        [_choice_row(choice, dial) for choice in swept],
        pd.DataFrame(scores, columns=[*names, "reported"]),
    )


def frontier_table(found: Frontiers) -> Table | None:
    """Show how much of the area between fine-tuning and freezing each frontier dominates.

    ``None`` where nothing is compared.
    """
    if not found.frontiers:
        return None
    dial = dial_of(found.variants)
    columns = [
        Column("strategy", words=True),
        Column(dial.plural),
        Column("not dominated"),
        Column(
            "hypervolume",
            "%",
            "share of the rectangle between fine-tuning and freezing that the frontier dominates: "
            "0 is no better than these two, 100 keeps what freezing keeps and learns what "
            f"fine-tuning learns; it grows with the number of {dial.plural}, so it is shown only "
            "where these numbers are equal",
            percent,
        ),
    ]
    rows, data = [], []
    for frontier in found.frontiers:
        area = frontier.hypervolume
        kept = sum(not point.dominated for point in frontier.points)
        value: Value | Noted = Noted(area, frontier.reason) if frontier.reason else area
        own = (frontier.strategy,)
        rows.append(Row([*own, frontier.budget, kept, value], strategies=own))
        counts = frontier.budget, kept
        data.append(
            (found.scenario, frontier.strategy, *counts, *area.ends, area.n, frontier.reason)
        )
    names = ["scenario", "strategy", "strengths", "not_dominated", "hypervolume", "low", "high"]
    return Table(
        "Frontiers",
        f"Area under each frontier, with its 95 % interval from {FEWEST_SEEDS} seeds on; seeds are "
        f"resampled jointly. Shown only where all strategies with several {dial.plural} have "
        f"equally many, since every further {dial.name} adds to the area.",
        columns,
        rows,
        pd.DataFrame(data, columns=[*names, "seeds", "reason"]),
    )


def _cells(ranked: Ranked, standing: Standing, *, several: bool) -> list[Value | Noted]:
    label = ranked.label
    cells: list[Value | Noted] = [label if ranked.competes else Noted(label, "a bound")]
    if several:
        cells.append(ranked.rank)
    cells += [ranked.mean, ranked.iqm.value, ranked.median.value]
    plain, best = ranked.against_baseline, ranked.against_best
    cells += [None] * 5 if plain is None else [
        _counted(plain, ranked), plain.effect, plain.improvement, plain.p, plain.p_holm,
    ]  # fmt: skip
    cells += [None] * 3 if best is None else [_counted(best, ranked), best.effect, best.p_holm]
    return [*cells, ranked.mean.n]


def _counted(found: PairedComparison, ranked: Ranked) -> Value | Noted:
    """A difference, with its number of pairs where some runs have no partner."""
    pairs = found.difference.n
    whole = pairs == ranked.mean.n
    return found.difference if whole else Noted(found.difference, counted(pairs, "pair"))


def _choice_row(choice: Choice, dial: Dial) -> Row:
    own = (choice.strategy,)
    if choice.cell is None:
        return Row([*own, choice.budget, choice.reason, None, None, None, None], strategies=own)
    name = "" if choice.dial.name == dial.name else f"{choice.dial.name} "
    chosen = name + choice.cell.variant.value
    score = next(tried.validation for tried in choice.tried if tried.cell is choice.cell)
    beside = [tried.validation for tried in choice.neighbours]
    weaker = None if choice.end == choice.dial.least else beside[0]
    stronger = None if choice.end == choice.dial.most else beside[-1]
    notes = [f"the {choice.open_end} tried"] if choice.open_end else []
    note = "; ".join([*notes, *(["coarse grid"] if gaps(choice) else [])])
    return Row([
        *own, choice.budget, name + choice.strengths,
        Noted(chosen, note) if note else chosen, score, weaker, stronger,
    ], strategies=own)  # fmt: skip


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _whole(value: float) -> str:
    return f"{100 * value:.0f}"


def _p(value: float) -> str:
    return f"<{_SMALLEST_SHOWN}" if value < _SMALLEST_SHOWN else f"{value:.3f}"
