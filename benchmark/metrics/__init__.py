"""Metrics: from accuracies to stability, plasticity, forgetting and transfer.

A metric is one ``Metric`` in ``METRICS``: its function, unit, direction, bounds, what it needs and
what it means. Tables, rankings, comparisons, pages and the documentation read them from there. They
are computed when runs are read (``Computed``), not when a run ends. Nothing here needs torch.
"""

from palimpsest.benchmark.metrics.computed import Computed, applies, columns, compute
from palimpsest.benchmark.metrics.formulas import (
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
from palimpsest.benchmark.metrics.metric import (
    ACCURACY,
    CHANGE,
    NEGLIGIBLE,
    REFERENCES,
    UNBOUNDED,
    Bounds,
    Metric,
    Need,
)
from palimpsest.benchmark.metrics.registry import (
    AVERAGE,
    FINETUNE_FORGETTING,
    METRICS,
    added_metrics,
    metric_named,
    reference_roles,
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
