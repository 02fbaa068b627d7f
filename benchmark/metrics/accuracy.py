"""The metrics of accuracies: each is a function with all that is known of it.

Notation, for T models trained one after another, counted from 0:

* ``R[i][j]``: test accuracy of model j after model i was trained (the accuracy matrix, T x T),
* ``b[j]``: test accuracy of model j before anything was trained,
* *earlier* models are 0 .. T-2, *new* models are 1 .. T-1.

Models that are trained by turns have no such matrix. Their accuracies at the end are those of the
last moment at which models were evaluated.

All values are fractions, not per cent. A value that is not defined (only one model, a strategy that
trains everything at once, a missing reference run) is ``None``. Tables have the metrics in this
order.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

from palimpsest.benchmark.metrics.metric import CHANGE, UNBOUNDED, Metric, metric
from palimpsest.strategies.base.facts import ALONE, BASELINE, JOINT

if TYPE_CHECKING:  # numpy is imported where a metric is computed, not where one is named
    import numpy as np
    from numpy.typing import NDArray

Accuracies = Sequence[float | None]
Matrix = Sequence[Accuracies]
Curves = Sequence[dict[str, Any]]

LEAST_FORGETTING = 0.01
"""Where fine-tuning forgets less than one point of accuracy, there is nothing to remove."""

AVERAGE = "average_accuracy"
"""The metric that every run has, in whichever order its models were trained."""

FINETUNE_FORGETTING = "finetune_forgetting"
"""The forgetting of fine-tuning with the same scenario and seed: what ``forgetting_reduction``
divides by. Over several seeds the two means are divided, not their ratios averaged."""

_GEM = "Lopez-Paz & Ranzato, Gradient Episodic Memory, NeurIPS 2017"
_RWALK = "Chaudhry et al., Riemannian Walk, ECCV 2018"
_CONTINUAL = "De Lange et al., Continual Evaluation for Lifelong Learning, ICLR 2023"


@metric(
    "accuracy of all models at the end",
    needs=("final_accuracy",),
    source=f"{_GEM}, equation 2",
)
def average_accuracy(final: Accuracies) -> float | None:
    """Mean accuracy of all models at the end: ``mean_j R[T-1][j]``.

    Of models that are trained by turns, ``mean_j a[j]`` with their accuracies at the last moment;
    ``None`` where that leaves a model out.

    Args:
        final: The accuracy of each model at the end.
    """
    return _mean(_array(final))


@metric("accuracy of the earlier models at the end")
def stability(matrix: Matrix) -> float | None:
    """Mean accuracy of the earlier models at the end: ``mean_{j<T-1} R[T-1][j]``."""
    return _mean(_array(matrix)[-1, :-1])


@metric(
    "accuracy of each new model when it has just learned",
    source="Riemer et al., Learning to Learn without Forgetting, ICLR 2019 (there over all "
    "models; here over the new ones, since the first has nothing to interfere with)",
)
def learning_accuracy(matrix: Matrix) -> float | None:
    """Mean accuracy of each new model when it has just learned: ``mean_{i>=1} R[i][i]``."""
    return _mean(_array(matrix).diagonal()[1:])


@metric(
    "loss from an earlier model's best accuracy, since it had learned, to its last one; "
    "negative where it gained",
    unit="points",
    better="lower",
    bounds=CHANGE,
    source=f"{_RWALK}, equation 3",
)
def forgetting(matrix: Matrix) -> float | None:
    """Mean loss from a model's best accuracy, since it had learned, to its last one.

    ``mean_{j<T-1} ( max_{j<=i<T-1} R[i][j] - R[T-1][j] )``; negative where later models helped.
    Chaudhry et al. take the maximum over all i < T-1. Ours leaves out i < j, before model j was
    trained: what it could do by then is transfer, and losing it is not a loss of what it learned.
    The two differ only if a model was better before its own training than at any time between
    that and the last model; then theirs is larger.
    """
    return _mean(forgetting_by_model(matrix))


def forgetting_by_model(matrix: Matrix) -> NDArray[np.float64]:
    """The values that ``forgetting`` is the mean of: one per earlier model, NaN if undefined."""
    r = _array(matrix)
    last = len(r) - 1
    return _array([r[j:last, j].max() - r[last, j] for j in range(last)])


@metric(
    "share of fine-tuning’s mean forgetting that is avoided on average: a ratio of means, "
    "with Fieller’s interval; fine-tuning that forgets less than one point leaves nothing "
    "to remove",
    bounds=UNBOUNDED,
    reference=BASELINE,
    ratio=("forgetting", FINETUNE_FORGETTING),
    source="the percentages of Benyahia, Yu et al., Overcoming Multi-Model Forgetting, "
    "ICML 2019, section 4",
)
def forgetting_reduction(matrix: Matrix, finetuned: Matrix) -> float | None:
    """Share of fine-tuning's forgetting that a strategy avoids: ``1 - F / F_finetune``.

    ``None`` where fine-tuning with the same seed forgot less than one point: there is nothing to
    reduce, and a ratio to so little says nothing. Over seeds it is ``1 - mean_s F(s) / mean_s
    F_finetune(s)``, the ratio of the means, which includes those seeds; it is not a mean of the
    values of single runs.

    Args:
        matrix: Accuracy matrix of the run.
        finetuned: Accuracy matrix of fine-tuning with the same scenario and seed.
    """
    ours, plain = forgetting(matrix), forgetting(finetuned)
    if ours is None or plain is None or plain < LEAST_FORGETTING:
        return None
    return 1 - ours / plain


@metric(
    "change of an earlier model from when it had just learned to the end",
    unit="points",
    bounds=CHANGE,
    source=f"{_GEM}, equation 3",
)
def backward_transfer(matrix: Matrix) -> float | None:
    """Mean change of a model from when it had just learned to the end.

    ``mean_{j<T-1} ( R[T-1][j] - R[j][j] )``.
    """
    r = _array(matrix)
    return _mean(r[-1, :-1] - r.diagonal()[:-1])


@metric(
    "gain of a model, before its own training, from what was trained before it",
    unit="points",
    bounds=CHANGE,
    needs=("accuracy_matrix", "initial_accuracy"),
    source=f"{_GEM}, equation 4",
)
def forward_transfer(matrix: Matrix, initial: Accuracies) -> float | None:
    """Mean gain of a model by what was trained before it: ``mean_{i>=1} ( R[i-1][i] - b[i] )``."""
    r = _array(matrix)
    return _mean(r.diagonal(1) - _array(initial)[1:])


@metric(
    "accuracy of each new model when it has just learned, minus that of the same model "
    "trained alone: 0 is as good as alone, negative is what sharing and protection cost",
    unit="points",
    bounds=CHANGE,
    reference=ALONE,
    signed=True,
)
def plasticity(matrix: Matrix, alone: Matrix) -> float | None:
    """Mean over the new models of accuracy in sequence minus accuracy when trained alone.

    ``mean_{i>=1} ( R[i][i] - R_alone[i][i] )``: 0 is as good as alone, negative is what
    sharing and protection cost.

    Args:
        matrix: Accuracy matrix of the run.
        alone: Accuracy matrix of the strategy ``independent`` with the same scenario and
            seed: each model trained by itself from the same initial weights on the same batches.
    """
    return _mean((_array(matrix).diagonal() - _array(alone).diagonal())[1:])


@metric(
    "accuracy of each new model under joint training minus that in sequence; lower is better",
    unit="points",
    better="lower",
    bounds=CHANGE,
    reference=JOINT,
    source=f"{_RWALK}, equation 4, whose reference is trained on the data of models 0..i; "
    "ours is trained once on the data of all models",
)
def intransigence(matrix: Matrix, joint: Matrix) -> float | None:
    """Mean over the new models of joint accuracy minus accuracy in sequence.

    ``mean_{i>=1} ( R_joint[T-1][i] - R[i][i] )``; lower is better.

    Args:
        matrix: Accuracy matrix of the run.
        joint: Accuracy matrix of the strategy ``joint`` with the same scenario and seed.
    """
    return _mean((_array(joint)[-1] - _array(matrix).diagonal())[1:])


@metric(
    "an earlier model's worst accuracy at any measured step since it had learned",
    needs=("accuracy_matrix", "curves"),
    source=f"min-ACC of {_CONTINUAL}",
)
def minimum_accuracy(matrix: Matrix, curves: Curves) -> float | None:
    """Mean over the earlier models of their worst accuracy since they had learned.

    ``mean_{j<T-1} min ( R[j][j], R[i][j] for i > j, and every point of model j's curve while
    a later model trained )``. The more often the curve is measured, the lower it can be.
    ``None`` where one of these values is not known; a curve without points adds none.
    """
    r = _array(matrix)
    lowest = _array([r[j:, j].min() for j in range(len(r) - 1)])
    for curve in curves:
        for j, values in enumerate(curve["accuracy"][: curve["model"]]):
            # NumPy's minimum propagates NaN, Python's does not.
            lowest[j] = _array(values).min(initial=lowest[j])
    return _mean(lowest)


@metric(
    "the last model's accuracy with the minimum accuracies of the others: what can be "
    "relied on at any time",
    needs=("accuracy_matrix", "curves"),
    source=f"WC-ACC of {_CONTINUAL}",
)
def worst_case_accuracy(matrix: Matrix, curves: Curves) -> float | None:
    """Accuracy to rely on at any time: the last model's accuracy and the others' minimum.

    ``1/T R[T-1][T-1] + (1 - 1/T) minimum_accuracy``; ``None`` with a single model, which no other
    can harm.
    """
    r = _array(matrix)
    lowest, share = minimum_accuracy(matrix, curves), 1 / len(r)
    if lowest is None or isnan(r[-1, -1]):
        return None
    return float(share * r[-1, -1] + (1 - share) * lowest)


def _forgetting_of_reference(matrix: Matrix, reference: Matrix) -> float | None:
    """Return the forgetting of the reference run, whatever the run itself."""
    return forgetting(reference)


DENOMINATOR = Metric(
    FINETUNE_FORGETTING,
    _forgetting_of_reference,
    "forgetting of fine-tuning with the same scenario and seed",
    unit="points",
    better="lower",
    bounds=CHANGE,
    reference=BASELINE,
)
"""Computed as the metrics are, and not one of them."""


def _array(values: Matrix | Accuracies) -> NDArray[np.float64]:
    import numpy as np

    return np.array(values, dtype=float)  # None becomes NaN


def _mean(values: NDArray[np.float64]) -> float | None:
    """Mean, or ``None`` if it has no terms or an undefined one."""
    if values.size == 0:
        return None
    mean = float(values.sum() / values.size)  # for so few terms, .mean() takes three times as long
    return None if isnan(mean) else mean
