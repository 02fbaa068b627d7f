"""The ranking: strategies side by side at the strength that was chosen on validation data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from benchmark.store import Record
from reports.bootstrap import Estimate, iqm_and_median, mean_estimate
from reports.cells import FINETUNE, Cell, Variant, by_scenario
from reports.choice import Choice
from reports.comparison import Comparison, Runs, compare, holm
from reports.frontier import UPPER_BOUNDS
from reports.merge import same_results
from reports.ranks import Ranks, rank
from reports.statistics import Limits, limits_of, of_difference

METRICS = ("stability", "plasticity", "average_accuracy", "forgetting_reduction")


@dataclass(frozen=True)
class Row:
    """One strategy in a standing.

    Attributes:
        strategy: Its name.
        kind: Its kind.
        variants: By scenario, the strategy at the strength that was chosen there.
        competes: It is ranked and compared; ``False`` for the upper bounds independent and
            joint, which do not share or see all data at once.
        mean: Mean over scenarios of the mean over seeds.
        iqm: Interquartile mean over all runs x scenarios.
        median: Median over all runs x scenarios.
        rank: Average over seeds and scenarios of the rank, 1 is best; ``None`` where the
            strategy does not compete or has no value in some scenario.
        against_finetune: This row minus fine-tuning, ``None`` where it is fine-tuning, does not
            compete, or there is no fine-tuning.
        against_best: This row minus the best one; ``None`` likewise.
    """

    strategy: str
    kind: str
    variants: dict[str, Variant]
    competes: bool
    mean: Estimate
    iqm: Estimate
    median: Estimate
    rank: float | None
    against_finetune: Comparison | None
    against_best: Comparison | None


@dataclass(frozen=True)
class Standing:
    """Strategies by one metric, in one scenario or over several.

    Attributes:
        scenarios: Over which scenarios.
        metric: Which metric; greater is better.
        rows: Those that compete from the highest mean to the lowest, then the upper bounds.
        finetune: Name of the row that is fine-tuning.
        best: Name of the row with the highest mean of those that compete. It was found on the
            same data as the comparisons with it, which therefore flatter it a little.
        ranks: Average ranks and their test, of those that compete.
        left_out: Strategies without a row, and why.
    """

    scenarios: tuple[str, ...]
    metric: str
    rows: tuple[Row, ...]
    finetune: str | None
    best: str | None
    ranks: Ranks
    left_out: dict[str, str]


def ranking(choices: Sequence[Choice]) -> list[Standing]:
    """Return the standings of each scenario, then those over all scenarios together.

    A metric that no run of any strategy has makes no standing. Over all scenarios (two or more
    with the metric), only strategies that have a row in each stand together.

    Args:
        choices: What ``choice.choose`` found for all cells, references included.
    """
    scenarios = tuple(dict.fromkeys(choice.scenario for choice in choices))
    standings = []
    for metric in METRICS:
        having = tuple(name for name in scenarios if _has(choices, name, metric))
        spans = [(name,) for name in having] + ([having] if len(having) > 1 else [])
        standings += [_standing(choices, span, metric) for span in spans]
    return sorted(standings, key=lambda standing: (len(standing.scenarios) > 1, standing.scenarios))


def coinciding(cells: Sequence[Cell]) -> dict[str, list[tuple[str, ...]]]:
    """Return by scenario the strategies that measured the same in every run, to the last bit.

    Compared are runs of the same strength and seed, wherever both strategies have one: test and
    validation accuracies, curves and metrics.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    for scenario, members in by_scenario(cells).items():
        runs: dict[str, dict[tuple[float | None, int], Record]] = {}
        for cell in members:
            own = runs.setdefault(cell.variant.strategy, {})
            own |= {(cell.variant.strength, r.seed): r for r in cell.done}
        groups: list[list[str]] = []
        for name, own in runs.items():
            for group in groups:
                if all(_same(own, runs[other]) for other in group):
                    group.append(name)
                    break
            else:
                groups.append([name])
        same = [tuple(group) for group in groups if len(group) > 1]
        if same:
            found[scenario] = same
    return found


def ranking_frame(standings: Sequence[Standing]) -> pd.DataFrame:
    """Return one row a standing and strategy, for CSV and LaTeX.

    Columns: scenario (names joined by ``; ``), metric, strategy, kind, strength (where the
    standing is of one scenario), rank, n; mean, iqm and median, each with ``_low`` and ``_high``;
    and for the comparisons with fine-tuning and the best, ``difference_finetune`` (with
    ``_low`` and ``_high``), pairs, seeds (of these), test, p, p_holm, effect, rank_biserial and
    improvement (with ends), and the same with ``_best``. Empty where there is none.
    """
    return pd.DataFrame(
        [dict(_fields(standing, row)) for standing in standings for row in standing.rows]
    )


def _standing(choices: Sequence[Choice], scenarios: tuple[str, ...], metric: str) -> Standing:
    by_name: dict[str, dict[str, Choice]] = {}
    for choice in choices:
        if choice.scenario in scenarios:
            by_name.setdefault(choice.strategy, {})[choice.scenario] = choice
    left_out = {
        name: why for name, own in by_name.items() if (why := _missing(own, scenarios)) is not None
    }
    runs = {
        name: {scenario: _values(own[scenario], metric) for scenario in scenarios}
        for name, own in by_name.items()
        if name not in left_out
    }
    rows = [_row(name, by_name[name], scenarios, own, metric) for name, own in runs.items()]
    rows.sort(key=_place)
    names = [row.strategy for row in rows if row.competes and row.mean.value is not None]
    best = names[0] if names else None
    finetune = next((row.strategy for row in rows if row.kind == FINETUNE), None)
    ranks = rank({name: runs[name] for name in names})
    compared = [row.strategy for row in rows if row.competes]
    limits = of_difference(limits_of(metric))
    against_finetune = _against(compared, finetune, runs, limits)
    against_best = _against(compared, best, runs, limits)
    complete = tuple(
        replace(
            row,
            rank=ranks.average.get(row.strategy),
            against_finetune=against_finetune.get(row.strategy),
            against_best=against_best.get(row.strategy),
        )
        for row in rows
    )
    return Standing(scenarios, metric, complete, finetune, best, ranks, left_out)


def _row(
    name: str, own: Mapping[str, Choice], scenarios: tuple[str, ...], runs: Runs, metric: str
) -> Row:
    variants = {s: variant for s in scenarios if (variant := own[s].variant) is not None}
    kind = own[scenarios[0]].kind
    limits = limits_of(metric)
    estimates = mean_estimate(runs, limits), *iqm_and_median(runs, limits)
    return Row(name, kind, variants, kind not in UPPER_BOUNDS, *estimates, None, None, None)


def _against(
    names: Sequence[str], other: str | None, runs: Mapping[str, Runs], limits: Limits
) -> dict[str, Comparison]:
    """Compare with one row; its p-values are the family of Holm's correction."""
    if other is None:
        return {}
    found = {name: compare(runs[name], runs[other], limits) for name in names if name != other}
    corrected = holm([comparison.p for comparison in found.values()])
    return {
        name: replace(comparison, p_holm=p)
        for (name, comparison), p in zip(found.items(), corrected, strict=True)
    }


def _missing(own: Mapping[str, Choice], scenarios: Sequence[str]) -> str | None:
    reasons = []
    for scenario in scenarios:
        reason = own[scenario].reason if scenario in own else "no runs"
        if scenario not in own or own[scenario].cell is None:
            reasons.append(reason if len(scenarios) == 1 else f"{scenario}: {reason}")
    return "; ".join(reasons) or None


def _values(choice: Choice, metric: str) -> dict[int, float | None]:
    done = () if choice.cell is None else choice.cell.done
    return {record.seed: record.metrics.get(metric) for record in done}


def _has(choices: Sequence[Choice], scenario: str, metric: str) -> bool:
    own = [_values(choice, metric) for choice in choices if choice.scenario == scenario]
    return any(value is not None for values in own for value in values.values())


def _place(row: Row) -> tuple[bool, bool, float, str]:
    value = row.mean.value
    return not row.competes, value is None, -(value or 0.0), row.strategy


def _same(own: Mapping[Any, Record], other: Mapping[Any, Record]) -> bool:
    shared = own.keys() & other.keys()
    return bool(shared) and all(same_results(own[key], other[key]) for key in shared)


def _fields(standing: Standing, row: Row) -> Iterator[tuple[str, object]]:
    variants = list(row.variants.values())
    yield "scenario", "; ".join(standing.scenarios)
    yield "metric", standing.metric
    yield "strategy", row.strategy
    yield "kind", row.kind
    yield "strength", variants[0].strength if len(standing.scenarios) == 1 else None
    yield "rank", row.rank
    yield "n", row.mean.n
    for name, estimate in (("mean", row.mean), ("iqm", row.iqm), ("median", row.median)):
        yield from _ends(name, estimate)
    for name, found in (("finetune", row.against_finetune), ("best", row.against_best)):
        yield from _ends(f"difference_{name}", found.difference if found else None)
        yield f"pairs_{name}", found.difference.n if found else None
        for field in ("seeds", "test", "p", "p_holm", "effect", "rank_biserial"):
            yield f"{field}_{name}", getattr(found, field, None)
        yield from _ends(f"improvement_{name}", found.improvement if found else None)


def _ends(name: str, estimate: Estimate | None) -> Iterator[tuple[str, object]]:
    for suffix, field in (("", "value"), ("_low", "low"), ("_high", "high")):
        yield f"{name}{suffix}", getattr(estimate, field, None)
