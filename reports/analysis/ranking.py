"""The ranking: strategies compared at the strengths that were chosen on validation data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from palimpsest.benchmark.metrics import METRICS, added_metrics
from palimpsest.benchmark.runs.record import BASELINE, Facts
from palimpsest.reports.analysis.choosing.choice import (
    Choice,
    by_strategy,
    why_missing,
)
from palimpsest.reports.analysis.measures import Measure, compare_measures, measure
from palimpsest.reports.analysis.remarks.coincidence import twins
from palimpsest.reports.runs.cells import Variant
from palimpsest.reports.statistics.interval import DIGITS, Estimate
from palimpsest.reports.statistics.pairs import PairedComparison, Runs, holm
from palimpsest.reports.statistics.ranks import Ranks, rank
from palimpsest.reports.wording.words import joined

RANKED = ("stability", "plasticity", "average_accuracy", "forgetting_reduction")
"""The metrics that strategies are ranked by; those of plugins follow."""


@dataclass(frozen=True)
class Ranked:
    """One strategy in a standing.

    Attributes:
        variants: The strategy at its reported strengths, by scenario.
        mean: Mean over scenarios of the mean over seeds; of forgetting reduction the ratio of
            means (``reports/analysis/measures.py``).
        iqm: Interquartile mean over all runs x scenarios; undefined for a ratio of means.
        median: Median over all runs x scenarios; likewise.
        rank: Average rank over seeds and scenarios, 1 is best; ``None`` where the strategy does
            not compete or has no value in some scenario.
        against_baseline: This row minus fine-tuning; ``None`` where it is fine-tuning or does not
            compete, or there is no fine-tuning.
        against_best: This row minus the best one; ``None`` where it is (one of) the best or does
            not compete, or there is none.
    """

    strategy: str
    facts: Facts
    variants: dict[str, Variant]
    mean: Estimate
    iqm: Estimate
    median: Estimate
    rank: float | None = None
    against_baseline: PairedComparison | None = None
    against_best: PairedComparison | None = None

    @property
    def competes(self) -> bool:
        """Whether it is ranked and compared, and no upper bound."""
        return not self.facts.is_bound

    @property
    def label(self) -> str:
        """The strategy with its strength; without it where scenarios have different ones."""
        variants = set(self.variants.values())
        return variants.pop().label if len(variants) == 1 else self.strategy


@dataclass(frozen=True)
class Standing:
    """Strategies by one metric, in one scenario or over several.

    Attributes:
        rows: Competing strategies from the best mean to the worst, then the upper bounds.
        baseline: Name of the row that is fine-tuning.
        best: Names of the competing rows with the best mean; several if their means are equal.
            They were found on the same runs as the comparisons with them, see ``_to_best``.
        identical: The best, grouped by runs that are the same bit for bit.
        pairs: How many pairs of strategies there are, identical ones counted once: p-values
            against the best are corrected for all of them.
        ranks: Average ranks of the competing strategies, and their test.
        left_out: Strategies without a row, and why.
    """

    scenarios: tuple[str, ...]
    metric: str
    rows: tuple[Ranked, ...]
    baseline: str | None
    best: tuple[str, ...]
    identical: tuple[tuple[str, ...], ...]
    pairs: int
    ranks: Ranks
    left_out: dict[str, str]

    @property
    def best_text(self) -> str:
        """The best as text, such as ``wpl``; empty where there is none.

        Several: ``ewc and wpl, identical``; ``l2 and si, equal in the mean``; ``ewc and wpl
        (identical) and si, equal in the mean``.
        """
        if len(self.identical) == 1:
            (names,) = self.identical
            return f"{joined(names)}, identical" if len(names) > 1 else names[0]
        groups = [joined(names) + " (identical)" * (len(names) > 1) for names in self.identical]
        return f"{joined(groups)}, equal in the mean" if groups else ""


def ranking(choices: Sequence[Choice]) -> list[Standing]:
    """Return the standings of each scenario, then those over all scenarios together.

    A metric that no run has is left out. Over all scenarios (two or more with the metric), only
    strategies that have a row in each of them are ranked.

    Args:
        choices: What ``cross_fitting.choose`` returned for all cells, references included.
    """
    scenarios = tuple(dict.fromkeys(choice.scenario for choice in choices))
    standings = []
    for metric in (*RANKED, *(added.name for added in added_metrics())):
        having = tuple(name for name in scenarios if _has(choices, name, metric))
        spans = [(name,) for name in having] + ([having] if len(having) > 1 else [])
        standings += [_standing(choices, span, metric) for span in spans]
    return sorted(
        standings, key=lambda s: (len(s.scenarios) > 1, [*map(scenarios.index, s.scenarios)])
    )


def ranking_frame(standings: Sequence[Standing]) -> pd.DataFrame:
    """Return one row per standing and strategy, for CSV and LaTeX.

    Columns: scenario (names joined by ``; ``), metric, strategy, kind, strengths (those it is
    reported at: ``1000 (3 of 5 seeds), 1e4 (2)``; of several scenarios joined by ``; ``), best
    (whether it is one of the best), rank, n; mean, iqm and median, each with ``_low`` and
    ``_high``; reason (why there is no mean); and for the comparison with fine-tuning
    ``difference_baseline`` (with ``_low`` and ``_high``), pairs, seeds (of these), p, p_holm,
    effect, rank_biserial and improvement (with its ends), and the same with ``_best``.
    Empty where there is none.
    """
    return pd.DataFrame(
        [dict(_fields(standing, row)) for standing in standings for row in standing.rows]
    )


def _standing(choices: Sequence[Choice], scenarios: tuple[str, ...], metric: str) -> Standing:
    by_name = by_strategy(choices, scenarios)
    missing = {name: why_missing(own, scenarios) for name, own in by_name.items()}
    left_out = {name: why for name, why in missing.items() if why is not None}
    found = {
        name: measure({scenario: own[scenario].reported for scenario in scenarios}, metric)
        for name, own in by_name.items()
        if name not in left_out
    }
    rows = [_row(name, by_name[name], scenarios, own) for name, own in found.items()]
    sign = -1 if METRICS[metric].better == "lower" else 1
    rows.sort(key=lambda row: _sort_key(row, sign))
    placed = [row for row in rows if row.competes and row.mean.value is not None]
    names = [row.strategy for row in placed]
    # All of equal ones: neither rounding nor the alphabet decides.
    best = tuple(row.strategy for row in placed if _rounded(row) == _rounded(placed[0]))
    baseline = next((row.strategy for row in rows if row.facts.role == BASELINE), None)
    ranks = rank({name: _turned(found[name].by_seed, sign) for name in names})
    groups = twins({name: [by_name[name][s].reported for s in scenarios] for name in names})
    against_baseline = _to_baseline(
        {row.strategy: found[row.strategy] for row in rows if row.competes}, baseline
    )
    pairs = len(groups) * (len(groups) - 1) // 2
    against_best = _to_best({name: found[name] for name in names}, best, groups, pairs)
    complete = tuple(
        replace(
            row,
            rank=ranks.average.get(row.strategy),
            against_baseline=_improved(against_baseline.get(row.strategy), sign),
            against_best=_improved(against_best.get(row.strategy), sign),
        )
        for row in rows
    )
    alike = [tuple(name for name in best if name in group) for group in groups]
    identical = tuple(names for names in alike if names)
    return Standing(scenarios, metric, complete, baseline, best, identical, pairs, ranks, left_out)


def _row(
    name: str, own: Mapping[str, Choice], scenarios: tuple[str, ...], found: Measure
) -> Ranked:
    variants = {s: cell.variant for s in scenarios if (cell := own[s].reported) is not None}
    facts = own[scenarios[0]].facts
    return Ranked(name, facts, variants, found.estimate(), *found.middle())


def _to_baseline(found: Mapping[str, Measure], other: str | None) -> dict[str, PairedComparison]:
    """Compare with fine-tuning; its p-values are the family of Holm's correction."""
    if other is None:
        return {}
    against = {
        name: compare_measures(own, found[other]) for name, own in found.items() if name != other
    }
    corrected = holm([comparison.p for comparison in against.values()])
    return {
        name: replace(comparison, p_holm=p)
        for (name, comparison), p in zip(against.items(), corrected, strict=True)
    }


def _to_best(
    found: Mapping[str, Measure], best: Sequence[str], groups: Sequence[set[str]], pairs: int
) -> dict[str, PairedComparison]:
    """Compare with the best; if there are several, with the one with the largest p-value.

    The same runs decide which strategy is the best, and so which comparisons are made: it could
    have been any pair. So the family of Holm's correction is all pairs of strategies, identical
    ones counted once; pairs that were not compared count with p = 1, which can only raise the
    others. With 3, 5 and 8 strategies that are equally good and 5, 10 and 20 seeds, some
    strategy is then found different from the best at 5 % in 2.9 to 4.4 % of 20,000
    simulations with normal values; with a family of these comparisons alone in 6.2 to 11.6 %.

    The difference itself is biased in favour of the best: by 0.57 to 0.73 standard deviations over
    seeds with 5 seeds, and 0.28 to 0.36 with 20 (``simulations.py best`` reproduces the numbers).
    """
    against = {
        name: max((compare_measures(own, found[other]) for other in best), key=_doubt)
        for name, own in found.items()
        if name not in best
    }
    first = {name: min(group) for group in groups for name in group}
    p_values = {first[name]: comparison.p for name, comparison in against.items()}
    corrected = holm([*p_values.values(), *[1.0] * (pairs - len(p_values))])
    by_group = dict(zip(p_values, corrected, strict=False))
    return {
        name: replace(comparison, p_holm=by_group[first[name]])
        for name, comparison in against.items()
    }


def _doubt(comparison: PairedComparison) -> float:
    return -1.0 if comparison.p is None else comparison.p


def _has(choices: Sequence[Choice], scenario: str, metric: str) -> bool:
    own = [choice.reported for choice in choices if choice.scenario == scenario]
    return any(measure({"": cell}, metric).estimate().value is not None for cell in own)


def _rounded(row: Ranked) -> float:
    return round(row.mean.value or 0.0, DIGITS)


def _sort_key(row: Ranked, sign: int) -> tuple[bool, bool, float, str]:
    return not row.competes, row.mean.value is None, -sign * _rounded(row), row.strategy


def _turned(runs: Runs, sign: int) -> Runs:
    """Values with the sign at which greater is better."""
    return {
        name: {seed: None if value is None else sign * value for seed, value in own.items()}
        for name, own in runs.items()
    }


def _improved(found: PairedComparison | None, sign: int) -> PairedComparison | None:
    """Return a comparison whose improvement counts smaller values, if smaller is better."""
    if found is None or sign > 0:
        return found
    won = found.improvement
    value, low, high = (None if x is None else 1 - x for x in (won.value, won.high, won.low))
    return replace(found, improvement=replace(won, value=value, low=low, high=high))


def _fields(standing: Standing, row: Ranked) -> Iterator[tuple[str, object]]:
    strengths = [variant.value for variant in row.variants.values()]
    yield "scenario", "; ".join(standing.scenarios)
    yield "metric", standing.metric
    yield "strategy", row.strategy
    yield "kind", row.facts.name
    yield "strengths", "; ".join(strengths) if any(strengths) else ""
    yield "best", row.strategy in standing.best
    yield "rank", row.rank
    yield "n", row.mean.n
    for name, estimate in (("mean", row.mean), ("iqm", row.iqm), ("median", row.median)):
        yield from _ends(name, estimate)
    yield "reason", row.mean.reason
    for name, found in (("baseline", row.against_baseline), ("best", row.against_best)):
        yield from _ends(f"difference_{name}", found.difference if found else None)
        yield f"pairs_{name}", found.difference.n if found else None
        for field in ("seeds", "p", "p_holm", "effect", "rank_biserial"):
            yield f"{field}_{name}", getattr(found, field, None)
        yield from _ends(f"improvement_{name}", found.improvement if found else None)


def _ends(name: str, found: Estimate | None) -> Iterator[tuple[str, object]]:
    names = (name, f"{name}_low", f"{name}_high")
    return zip(names, found.ends if found else (None,) * 3, strict=True)
