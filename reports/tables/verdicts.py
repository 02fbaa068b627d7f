"""Every strategy beside a baseline, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from benchmark.metrics import NEGLIGIBLE
from reports.analysis.verdicts import Contender, Judgement, Verdicts
from reports.statistics.interval import Estimate
from reports.tables.table import BRACKETS, Column, Row, Table, Value
from reports.wording.numbers import percent

READ = (
    "Better or worse: the whole 95 % interval of the difference in average accuracy, paired by "
    "seed, lies on one side of zero, which is p < 0.05 in the paired t-test, not corrected for the "
    "number of strategies; the ranking’s “p corrected” is. Same: it lies within "
    f"{percent(NEGLIGIBLE)} percentage point. Undetermined: neither, or too few seeds for an "
    "interval."
)
"""How to read a verdict."""

COLUMNS = (
    Column("strategy", words=True),
    Column("verdict", words=True),
    Column("average accuracy", "points", "of all models at the end", partial(percent, signed=True)),
    Column("kept", "points", "final accuracy of the earlier models", partial(percent, signed=True)),
    Column(
        "learned",
        "points",
        "accuracy of each new model after its training",
        partial(percent, signed=True),
    ),
    Column("n", "", "pairs of runs with the same seed"),
    Column("remarks", words=True),
)


def verdict_table(found: Verdicts, name: str) -> Table | None:
    """Show what each strategy is beside the baseline.

    Its data have all pairs, so that any strategy can be taken as the baseline.

    Args:
        found: Of one scenario, or of several together.
        name: Unique in the report.

    Returns:
        The table, or ``None`` where no strategy has runs.
    """
    if found.baseline is None:
        return None
    beside = found.reference
    return Table(
        name,
        f"Verdicts against {beside}",
        f"Differences from {beside}. {READ} {BRACKETS}",
        COLUMNS,
        [
            Row(_cells(found, place), strategies=contender.strategies)
            for place, contender in enumerate(found.contenders)
        ],
        pd.DataFrame([dict(_fields(found, *pair)) for pair in found.judgements]),
    )


def named(contender: Contender) -> str:
    """Return a row's heading: ``ewc = wpl, at 1e3``."""
    return f"{contender.name}, at {contender.at}" if contender.at else contender.name


def _cells(found: Verdicts, place: int) -> list[Value]:
    contender = found.contenders[place]
    own = found.judgements.get((place, found.baseline or 0))
    remarks = "; ".join(filter(None, (contender.reason, *contender.marks)))
    if own is None or own.verdict is None:
        what = "" if own is None else "baseline"
        return [named(contender), what, None, None, None, None, remarks]
    sides = [own.difference, own.kept, own.learned]
    return [named(contender), str(own.verdict), *sides, str(own.difference.n), remarks]


def _fields(found: Verdicts, place: int, baseline: int) -> Iterator[tuple[str, object]]:
    contender, own = found.contenders[place], found.judgements[place, baseline]
    yield "scenario", "; ".join(found.scenarios)
    yield "strategy", contender.name
    yield "strength", contender.at
    yield "baseline", found.contenders[baseline].name
    yield "verdict", None if own.verdict is None else str(own.verdict)
    for name, estimate in sides(own).items():
        yield name, estimate.value
        yield f"{name}_low", estimate.low
        yield f"{name}_high", estimate.high
    yield "n", own.difference.n
    yield "remarks", "; ".join(contender.marks)


def sides(own: Judgement) -> dict[str, Estimate]:
    """Return the differences of a judgement by the names of their columns in the data."""
    return {
        "difference": own.difference,
        "difference_kept": own.kept,
        "difference_learned": own.learned,
    }
