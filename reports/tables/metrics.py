"""The metrics of every variant of a scenario, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from reports.runs.cells import Cell
from reports.runs.frames import summary_frame
from reports.statistics.interval import Estimate
from reports.statistics.ratio import REDUCTION
from reports.tables.table import BRACKETS, Column, Noted, Row, Table, Value
from reports.wording.numbers import percent
from reports.wording.words import several


@dataclass(frozen=True)
class Metric:
    """A metric as the report shows it.

    Attributes:
        name: Its name in ``benchmark/metrics.py``.
        unit: Per cent, or percentage points for differences.
        meaning: What it says.
        signed: Written with its sign.
    """

    name: str
    unit: str
    meaning: str
    signed: bool = False

    @property
    def title(self) -> str:
        """Its heading."""
        return self.name.replace("_", " ")

    @property
    def column(self) -> Column:
        """Its column: means over seeds with their intervals."""
        return Column(self.title, self.unit, self.meaning, partial(percent, signed=self.signed))


LEARNING = Metric("learning_accuracy", "%", "accuracy of each new model when it has just learned")
MAIN = (
    Metric("stability", "%", "accuracy of the earlier models at the end"),
    Metric(
        "plasticity",
        "points",
        "accuracy of each new model when it has just learned, minus that of the same model trained "
        "alone: 0 is as good as alone, negative is what sharing and protection cost",
        signed=True,
    ),
    Metric(
        REDUCTION,
        "%",
        "share of fine-tuning’s mean forgetting that is avoided on average: a ratio of means, with "
        "Fieller’s interval; fine-tuning that forgets less than one point leaves nothing to remove",
    ),
    Metric("average_accuracy", "%", "accuracy of all models at the end"),
    Metric(
        "forgetting",
        "points",
        "loss from an earlier model's best accuracy, since it had learned, to its last one; "
        "negative where it gained",
    ),
    LEARNING,
    Metric(
        "minimum_accuracy",
        "%",
        "an earlier model's worst accuracy at any measured step since it had learned",
    ),
)
TRANSFER = (
    Metric(
        "worst_case_accuracy",
        "%",
        "the last model's accuracy with the minimum accuracies of the others: what can be relied "
        "on at any time",
    ),
    Metric(
        "backward_transfer",
        "points",
        "change of an earlier model from when it had just learned to the end",
    ),
    Metric(
        "forward_transfer",
        "points",
        "gain of a model, before its own training, from what was trained before it",
    ),
    Metric(
        "intransigence",
        "points",
        "accuracy of each new model under joint training minus that in sequence; lower is better",
    ),
)
_WORST = Column(
    "learning accuracy, worst seed",
    "%",
    "the same for the worst seed; far below the mean, training was unstable",
    percent,
)


def metrics_table(cells: Sequence[Cell], name: str) -> Table:
    """Show what every variant keeps, learns and forgets.

    Args:
        cells: One scenario's cells.
        name: Unique in the report.
    """
    return _table(cells, name, "Every variant", MAIN)


def transfer_table(cells: Sequence[Cell], name: str) -> Table:
    """Show what the models gain and lose by each other.

    Args:
        cells: One scenario's cells.
        name: Unique in the report.
    """
    return _table(cells, name, "Worst case, transfer and intransigence", TRANSFER)


def _table(cells: Sequence[Cell], name: str, title: str, metrics: Sequence[Metric]) -> Table:
    columns = [Column("strategy, strength", words=True)]
    for metric in metrics:
        columns.append(metric.column)
        if metric is LEARNING:
            columns.append(_WORST)
    summary = summary_frame(cells)
    return Table(
        name,
        title,
        f"Means over seeds, scenario {cells[0].scenario}. {BRACKETS}",
        (*columns, Column("seeds")),
        [_row(cell, metrics) for cell in cells],
        summary[summary["metric"].isin([metric.name for metric in metrics])],
    )


def _row(cell: Cell, metrics: Sequence[Metric]) -> Row:
    values: list[Value | Noted] = [cell.variant.label]
    seeds = len(cell.done)
    for metric in metrics:
        if metric.name == REDUCTION:
            values.append(_removed(cell))
            continue
        found = cell.interval(metric.name)
        values.append(_counted(found, seeds))
        if metric is LEARNING:
            values.append(found.minimum)
    failed = len(cell.failed)
    values.append(Noted(seeds, f"+\N{NARROW NO-BREAK SPACE}{failed} failed") if failed else seeds)
    return Row(values, group=cell.variant.strategy)


def _removed(cell: Cell) -> Value | Noted:
    share, reason = cell.removed.share, cell.removed.reason
    return Noted(None, reason) if reason else _counted(share, len(cell.done))


def _counted(found: Estimate, seeds: int) -> Value | Noted:
    """Say of how many seeds a value is, where some have none."""
    return Noted(found, several(found.n, "seed")) if 0 < found.n < seeds else found
