"""Metrics: from accuracies to stability, plasticity, forgetting and transfer.

A metric is a function in a file of this folder, with ``@metric(...)`` above it: its meaning, unit,
direction, bounds and what it needs. To add one, write it into one of these files or into a new one;
it is found here. Tables, rankings, comparisons, pages and the documentation read ``METRICS``.
Metrics are computed when runs are read (``Computed``), not when a run ends. Nothing here needs
torch.
"""

from importlib import import_module
from pathlib import Path

from palimpsest.benchmark.metrics.accuracy import (
    AVERAGE,
    FINETUNE_FORGETTING,
    LEAST_FORGETTING,
    Accuracies,
    Curves,
    Matrix,
    average_accuracy,
    backward_transfer,
    forgetting,
    forgetting_by_model,
    forgetting_reduction,
    forward_transfer,
    intransigence,
    learning_accuracy,
    minimum_accuracy,
    plasticity,
    stability,
    worst_case_accuracy,
)
from palimpsest.benchmark.metrics.computed import (
    Computed,
    applies,
    columns,
    compute,
    metric_named,
    reference_roles,
)
from palimpsest.benchmark.metrics.metric import (
    ACCURACY,
    CHANGE,
    METRICS,
    NEGLIGIBLE,
    REFERENCES,
    UNBOUNDED,
    Bounds,
    Metric,
    Need,
)

__all__ = [
    "ACCURACY",
    "AVERAGE",
    "CHANGE",
    "FINETUNE_FORGETTING",
    "LEAST_FORGETTING",
    "METRICS",
    "NEGLIGIBLE",
    "REFERENCES",
    "UNBOUNDED",
    "Accuracies",
    "Bounds",
    "Computed",
    "Curves",
    "Matrix",
    "Metric",
    "Need",
    "added_metrics",
    "applies",
    "average_accuracy",
    "backward_transfer",
    "columns",
    "compute",
    "forgetting",
    "forgetting_by_model",
    "forgetting_reduction",
    "forward_transfer",
    "intransigence",
    "learning_accuracy",
    "metric_named",
    "minimum_accuracy",
    "plasticity",
    "reference_roles",
    "stability",
    "worst_case_accuracy",
]

for _file in sorted(Path(__file__).parent.glob("[!_]*.py")):
    import_module(f"{__name__}.{_file.stem}")

_SHIPPED = frozenset(METRICS)


def added_metrics() -> list[Metric]:
    """Return the metrics that plugins brought."""
    return [metric for name, metric in METRICS.items() if name not in _SHIPPED]
