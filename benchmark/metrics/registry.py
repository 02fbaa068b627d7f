"""The available metrics, by name. Plugins add their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

from palimpsest.benchmark.metrics import formulas, search
from palimpsest.benchmark.metrics.metric import ACCURACY, CHANGE, UNBOUNDED, Metric
from palimpsest.strategies.base.facts import ALONE, BASELINE, JOINT, Role

_WPL = "Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019, figure 4"
_GEM = "Lopez-Paz & Ranzato, Gradient Episodic Memory, NeurIPS 2017"
_RWALK = "Chaudhry et al., Riemannian Walk, ECCV 2018"
_CONTINUAL = "De Lange et al., Continual Evaluation for Lifelong Learning, ICLR 2023"

_VISITS: tuple[
    tuple[str, Callable[[search.Rows], float | None], str, Literal["higher", "lower"]], ...
] = (
    (
        "visit_forgetting",
        search.visit_forgetting,
        "of a search: error of a visited architecture at the end of the epoch minus right after "
        "its visit",
        "lower",
    ),
    (
        "early_visit_forgetting",
        search.early_visit_forgetting,
        "the same over the first half of the epochs",
        "lower",
    ),
    (
        "late_visit_forgetting",
        search.late_visit_forgetting,
        "the same over the second half of the epochs",
        "lower",
    ),
    (
        "best_visit_forgetting",
        search.best_visit_forgetting,
        "the same of the five architectures of each epoch that were best after their visit",
        "lower",
    ),
    (
        "largest_visit_forgetting",
        search.largest_visit_forgetting,
        "the same of the architecture of each epoch that forgot most",
        "lower",
    ),
    (
        "visit_gain",
        search.visit_gain,
        "of a search: by how much a visit lowers the error of its own architecture",
        "higher",
    ),
    (
        "visited_error",
        search.visited_error,
        "of a search: error of the visited architectures at the end of the epoch",
        "lower",
    ),
)


def _of_visits() -> Iterator[Metric]:
    """The measures of a search, of error rates and of perplexities."""
    for name, function, meaning, better in _VISITS:
        level = name == "visited_error"
        yield Metric(
            name,
            function,
            meaning,
            unit="%" if level else "points",
            better=better,
            bounds=ACCURACY if level else CHANGE,
            needs=("visits",),
            source=_WPL if "forgetting" in name else "",
        )
        yield Metric(
            f"{name}_perplexity",
            function,
            f"{meaning}, in perplexity per word",
            unit="perplexity",
            better=better,
            bounds=(1.0, math.inf) if level else UNBOUNDED,
            needs=("visits_perplexity",),
            source=_WPL if "forgetting" in name else "",
        )


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "average_accuracy",
            formulas.average_accuracy,
            "accuracy of all models at the end",
            needs=("final_accuracy",),
            source=f"{_GEM}, equation 2",
        ),
        Metric(
            "stability", formulas.stability, "accuracy of the earlier models at the end",
        ),
        Metric(
            "learning_accuracy",
            formulas.learning_accuracy,
            "accuracy of each new model when it has just learned",
            source="Riemer et al., Learning to Learn without Forgetting, ICLR 2019 (there over all "
            "models; here over the new ones, since the first has nothing to interfere with)",
        ),
        Metric(
            "forgetting",
            formulas.forgetting,
            "loss from an earlier model's best accuracy, since it had learned, to its last one; "
            "negative where it gained",
            unit="points",
            better="lower",
            bounds=CHANGE,
            source=f"{_RWALK}, equation 3",
        ),
        Metric(
            "forgetting_reduction",
            formulas.forgetting_reduction,
            "share of fine-tuning’s mean forgetting that is avoided on average: a ratio of means, "
            "with Fieller’s interval; fine-tuning that forgets less than one point leaves nothing "
            "to remove",
            bounds=UNBOUNDED,
            reference=BASELINE,
            source="the percentages of Benyahia, Yu et al., Overcoming Multi-Model Forgetting, "
            "ICML 2019, section 4",
        ),
        Metric(
            "backward_transfer",
            formulas.backward_transfer,
            "change of an earlier model from when it had just learned to the end",
            unit="points",
            bounds=CHANGE,
            source=f"{_GEM}, equation 3",
        ),
        Metric(
            "forward_transfer",
            formulas.forward_transfer,
            "gain of a model, before its own training, from what was trained before it",
            unit="points",
            bounds=CHANGE,
            needs=("accuracy_matrix", "initial_accuracy"),
            source=f"{_GEM}, equation 4",
        ),
        Metric(
            "plasticity",
            formulas.plasticity,
            "accuracy of each new model when it has just learned, minus that of the same model "
            "trained alone: 0 is as good as alone, negative is what sharing and protection cost",
            unit="points",
            bounds=CHANGE,
            reference=ALONE,
            signed=True,
        ),
        Metric(
            "intransigence",
            formulas.intransigence,
            "accuracy of each new model under joint training minus that in sequence; lower is "
            "better",
            unit="points",
            better="lower",
            bounds=CHANGE,
            reference=JOINT,
            source=f"{_RWALK}, equation 4, whose reference is trained on the data of models 0..i; "
            "ours is trained once on the data of all models",
        ),
        Metric(
            "minimum_accuracy",
            formulas.minimum_accuracy,
            "an earlier model's worst accuracy at any measured step since it had learned",
            needs=("accuracy_matrix", "curves"),
            source=f"min-ACC of {_CONTINUAL}",
        ),
        Metric(
            "worst_case_accuracy",
            formulas.worst_case_accuracy,
            "the last model's accuracy with the minimum accuracies of the others: what can be "
            "relied on at any time",
            needs=("accuracy_matrix", "curves"),
            source=f"WC-ACC of {_CONTINUAL}",
        ),
        *_of_visits(),
    )
}  # fmt: skip
"""Every metric by name, in the order of tables."""

AVERAGE = "average_accuracy"
"""The metric that every run has, in whichever order its models were trained."""

FINETUNE_FORGETTING = "finetune_forgetting"
"""In addition to the metrics of a run: what ``forgetting_reduction`` divides by.

The forgetting of fine-tuning with the same scenario and seed. Over several seeds the two means are
divided, not their ratios averaged."""

_DENOMINATOR = Metric(
    FINETUNE_FORGETTING,
    formulas.forgetting_of_reference,
    "forgetting of fine-tuning with the same scenario and seed",
    unit="points",
    better="lower",
    bounds=CHANGE,
    reference=BASELINE,
)


_SHIPPED = frozenset(METRICS)


def added_metrics() -> list[Metric]:
    """Return the metrics that plugins brought."""
    return [metric for name, metric in METRICS.items() if name not in _SHIPPED]


def metric_named(name: str) -> Metric:
    """Return a metric.

    Raises:
        KeyError: There is no metric of that name.
    """
    return _DENOMINATOR if name == FINETUNE_FORGETTING else METRICS[name]


def reference_roles() -> set[Role]:
    """Return the roles of the strategies that some metric compares with."""
    roles = {metric.reference for metric in (*METRICS.values(), _DENOMINATOR)}
    return {role for role in roles if role is not None}
