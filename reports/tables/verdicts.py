"""Every strategy compared with a baseline, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from palimpsest.benchmark.metrics import AVERAGE, METRICS, NEGLIGIBLE
from palimpsest.reports.analysis.verdicts import SIDES, Contender, Judgement, Verdicts
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.table import BRACKETS, Column, Row, Table, Value
from palimpsest.reports.wording.numbers import percent

READ = (
    "Better or worse: the whole 95 % interval of the difference in average accuracy, paired by "
    "seed, lies on one side of zero, which is p < 0.05 in the paired t-test, not corrected for the "
    "number of strategies; the ranking’s “p corrected” is. Same: it lies within "
    f"{percent(NEGLIGIBLE)} percentage point. Undetermined: neither, or too few seeds for an "
    "interval. Upper bounds come last and are not judged."
)
"""How to read a verdict."""

_POINTS = partial(percent, signed=True)

DIFFERENCES = ("difference", *(f"difference_{name}" for name in SIDES))

COLUMNS = (
    Column("strategy", words=True),
    Column("verdict", words=True),
    Column("average accuracy", "%", METRICS[AVERAGE].meaning, percent),
    Column("difference", "points", "in average accuracy, from the baseline", _POINTS),
    *(
        Column(
            name.replace("_", " "), "points", f"difference in the {METRICS[name].meaning}", _POINTS
        )
        for name in SIDES
    ),
    Column("n", "", "pairs of runs with the same seed"),
    Column("remarks", words=True),
)


def verdict_table(found: Verdicts) -> Table | None:
    """Show the verdict on each strategy compared with the baseline.

    ``None`` where no strategy has runs.
    """
    if found.baseline is None:
        return None
    baseline, places = found.reference, range(len(found.contenders))
    return Table(
        f"Verdicts against {baseline}",
        f"Differences from {baseline}. {READ} {BRACKETS}",
        COLUMNS,
        [
            Row(_cells(found, place), strategies=contender.strategies)
            for place, contender in enumerate(found.contenders)
        ],
        pd.DataFrame(map(dict, (_fields(found, place) for place in places))).astype({"n": "Int64"}),
    )


def named(contender: Contender) -> str:
    """Return a row's heading: ``ewc = wpl, at 1000``."""
    return f"{contender.name}, at {contender.at}" if contender.at else contender.name


def _cells(found: Verdicts, place: int) -> list[Value]:
    contender = found.contenders[place]
    own = found.judgements.get((place, found.baseline or 0))
    remarks = "; ".join(filter(None, (contender.reason, *contender.marks)))
    if own is None or own.verdict is None:
        what = "" if own is None else "baseline"
        return [named(contender), what, contender.average, None, None, None, None, remarks]
    differences = differences_of(own).values()
    n = str(own.difference.n)
    return [named(contender), str(own.verdict), contender.average, *differences, n, remarks]


def _fields(found: Verdicts, place: int) -> Iterator[tuple[str, object]]:
    """The row that is shown, for files: numbers as fractions, ends of intervals apart."""
    contender = found.contenders[place]
    _, verdict, *shown, n, remarks = _cells(found, place)
    yield "scenario", "; ".join(found.scenarios)
    yield "strategy", contender.name
    yield "strength", contender.at
    yield "baseline", found.reference
    yield "verdict", verdict or None
    for name, estimate in zip((AVERAGE, *DIFFERENCES), shown, strict=True):
        known = estimate if isinstance(estimate, Estimate) else None
        yield name, None if known is None else known.value
        yield f"{name}_low", None if known is None else known.low
        yield f"{name}_high", None if known is None else known.high
    yield "n", None if n is None else int(str(n))
    yield "remarks", remarks


def differences_of(own: Judgement) -> dict[str, Estimate]:
    """Return the differences of a judgement by the names of their columns in the data."""
    found = (own.difference, own.stability, own.learning_accuracy)
    return dict(zip(DIFFERENCES, found, strict=True))
