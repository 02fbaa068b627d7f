"""From accuracies to stability, plasticity, forgetting and transfer.

Notation, for T models trained one after another, counted from 0:

* ``R[i][j]``: test accuracy of model j after model i was trained (the accuracy matrix, T x T),
* ``b[j]``: test accuracy of model j before anything was trained,
* *earlier* models are 0 .. T-2, *new* models are 1 .. T-1.

All values are fractions, not per cent. A value that is not defined (one model only, a
strategy that trains everything at once, a reference run that was not made) is ``None``.
No function here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = Sequence[Sequence[float | None]]
Curves = Sequence[dict[str, Any]]

METRICS = (
    "average_accuracy",
    "stability",
    "learning_accuracy",
    "forgetting",
    "forgetting_reduction",
    "backward_transfer",
    "forward_transfer",
    "plasticity",
    "intransigence",
    "minimum_accuracy",
    "worst_case_accuracy",
)

NEEDS_REFERENCE = {
    "forgetting_reduction": "finetune",
    "plasticity": "independent",
    "intransigence": "joint",
}
"""Metrics that compare a run with another one of the same scenario and seed, and which."""

FINETUNE_FORGETTING = "finetune_forgetting"
"""Beside the metrics of a run: the forgetting of fine-tuning with the same scenario and seed.

What ``forgetting_reduction`` divides by. Over several seeds the two means are divided, not their
ratios averaged (see ``reports/statistics/ratio.py``)."""

LEAST_FORGETTING = 0.01
"""Where fine-tuning forgets less than one point of accuracy, there is nothing to remove."""


def average_accuracy(matrix: Matrix) -> float | None:
    """Mean accuracy of all models at the end: ``mean_j R[T-1][j]``.

    Source: Lopez-Paz & Ranzato, Gradient Episodic Memory, NeurIPS 2017, equation 2.
    """
    return _mean(_array(matrix)[-1])


def stability(matrix: Matrix) -> float | None:
    """Mean accuracy of the earlier models at the end: ``mean_{j<T-1} R[T-1][j]``."""
    return _mean(_array(matrix)[-1, :-1])


def learning_accuracy(matrix: Matrix) -> float | None:
    """Mean accuracy of each new model when it has just learned: ``mean_{i>=1} R[i][i]``.

    Source: Riemer et al., Learning to Learn without Forgetting, ICLR 2019 (there over all i;
    here over the new models, since the first has nothing to interfere with).
    """
    return _mean(np.diag(_array(matrix))[1:])


def forgetting(matrix: Matrix) -> float | None:
    """Mean loss from a model's best accuracy, since it had learned, to its last one.

    ``mean_{j<T-1} ( max_{j<=i<T-1} R[i][j] - R[T-1][j] )``; negative where later models helped.
    Source: Chaudhry et al., Riemannian Walk, ECCV 2018, equation 3, whose maximum is over all
    i < T-1. Ours leaves out i < j, before model j was trained: what it could do by then is
    transfer, and no loss of what it learned. The two differ only where a model was better before
    its own training than at any time from then on until the last model; then theirs is larger.
    """
    return _mean(forgetting_by_model(matrix))


def forgetting_by_model(matrix: Matrix) -> NDArray[np.float64]:
    """What ``forgetting`` is the mean of: one value for each earlier model, NaN if undefined."""
    r = _array(matrix)
    last = len(r) - 1
    return np.array([r[j:last, j].max() - r[last, j] for j in range(last)])


def backward_transfer(matrix: Matrix) -> float | None:
    """Mean change of a model from when it had just learned to the end.

    ``mean_{j<T-1} ( R[T-1][j] - R[j][j] )``.
    Source: Lopez-Paz & Ranzato, NeurIPS 2017, equation 3.
    """
    r = _array(matrix)
    return _mean(r[-1, :-1] - np.diag(r)[:-1])


def forward_transfer(matrix: Matrix, initial: Sequence[float | None]) -> float | None:
    """Mean gain of a model from what was trained before it: ``mean_{i>=1} ( R[i-1][i] - b[i] )``.

    Source: Lopez-Paz & Ranzato, NeurIPS 2017, equation 4.
    """
    r = _array(matrix)
    b = np.array(initial, dtype=float)
    return _mean(np.diag(r, k=1) - b[1:])


def minimum_accuracy(matrix: Matrix, curves: Curves) -> float | None:
    """Mean over the earlier models of their worst accuracy since they had learned.

    ``mean_{j<T-1} min ( R[j][j], R[i][j] for i > j, and every point of model j's curve while
    a later model trained )``. The more often the curve is measured, the lower it can be.
    ``None`` where one of these values is not known; a curve without points adds none.
    Source: min-ACC of De Lange et al., Continual Evaluation for Lifelong Learning, ICLR 2023.
    """
    r = _array(matrix)
    lowest = np.array([r[j:, j].min() for j in range(len(r) - 1)])
    for curve in curves:
        for j, values in enumerate(curve["accuracy"][: curve["model"]]):
            # NumPy's minimum hands NaN on wherever it stands, Python's does not.
            lowest[j] = np.min(_array(values), initial=lowest[j])
    return _mean(lowest)


def worst_case_accuracy(matrix: Matrix, curves: Curves) -> float | None:
    """What can be relied on at any time: the last model's accuracy and the others' minimum.

    ``1/T R[T-1][T-1] + (1 - 1/T) minimum_accuracy``; ``None`` with one model, which no other can
    harm. Source: WC-ACC of De Lange et al., ICLR 2023.
    """
    r = _array(matrix)
    lowest, share = minimum_accuracy(matrix, curves), 1 / len(r)
    if lowest is None or np.isnan(r[-1, -1]):
        return None
    return float(share * r[-1, -1] + (1 - share) * lowest)


def forgetting_reduction(matrix: Matrix, finetuned: Matrix) -> float | None:
    """Share of fine-tuning's forgetting that a strategy avoids: ``1 - F / F_finetune``.

    ``None`` where fine-tuning with the same seed forgot less than one point: there is nothing to
    reduce, and a ratio to so little says nothing. Over seeds it is
    ``1 - mean_s F(s) / mean_s F_finetune(s)``, the ratio of the means, with those seeds, too; it is
    no mean of the values of single runs.
    Source: the percentages of Benyahia, Yu et al., ICML 2019, section 4.

    Args:
        matrix: Accuracy matrix of the run.
        finetuned: Accuracy matrix of fine-tuning with the same scenario and seed.
    """
    ours, plain = forgetting(matrix), forgetting(finetuned)
    if ours is None or plain is None or plain < LEAST_FORGETTING:
        return None
    return 1 - ours / plain


def plasticity(matrix: Matrix, alone: Matrix) -> float | None:
    """Mean over the new models of accuracy in sequence minus accuracy when trained alone.

    ``mean_{i>=1} ( R[i][i] - R_alone[i][i] )``: 0 is as good as alone, negative is what
    sharing and protection cost.

    Args:
        matrix: Accuracy matrix of the run.
        alone: Accuracy matrix of the strategy ``independent`` with the same scenario and
            seed: each model trained by itself from the same initial weights on the same batches.
    """
    return _mean((np.diag(_array(matrix)) - np.diag(_array(alone)))[1:])


def intransigence(matrix: Matrix, joint: Matrix) -> float | None:
    """Mean over the new models of joint accuracy minus accuracy in sequence.

    ``mean_{i>=1} ( R_joint[T-1][i] - R[i][i] )``; lower is better. Source: Chaudhry et al.,
    ECCV 2018, equation 4, whose reference is trained on the data of models 0..i; ours is
    trained once on the data of all models.

    Args:
        matrix: Accuracy matrix of the run.
        joint: Accuracy matrix of the strategy ``joint`` with the same scenario and seed.
    """
    return _mean((_array(joint)[-1] - np.diag(_array(matrix)))[1:])


def own_metrics(
    matrix: Matrix, initial: Sequence[float | None], curves: Curves
) -> dict[str, float | None]:
    """Return every metric that a run has by itself, by name."""
    return {
        "average_accuracy": average_accuracy(matrix),
        "stability": stability(matrix),
        "learning_accuracy": learning_accuracy(matrix),
        "forgetting": forgetting(matrix),
        "backward_transfer": backward_transfer(matrix),
        "forward_transfer": forward_transfer(matrix, initial),
        "minimum_accuracy": minimum_accuracy(matrix, curves),
        "worst_case_accuracy": worst_case_accuracy(matrix, curves),
    }


def paired_metrics(matrix: Matrix, references: Mapping[str, Matrix]) -> dict[str, float | None]:
    """Return every metric that needs a reference run, ``None`` where it is missing.

    And ``FINETUNE_FORGETTING``, what the ratio of means over seeds divides by.

    Args:
        matrix: Accuracy matrix of the run.
        references: Accuracy matrices of ``finetune``, ``independent`` and ``joint`` with the
            same scenario and seed, as far as they exist.
    """
    functions = {
        "forgetting_reduction": forgetting_reduction,
        "plasticity": plasticity,
        "intransigence": intransigence,
    }
    found = {
        name: function(matrix, references[NEEDS_REFERENCE[name]])
        if NEEDS_REFERENCE[name] in references
        else None
        for name, function in functions.items()
    }
    plain = references.get("finetune")
    return found | {FINETUNE_FORGETTING: None if plain is None else forgetting(plain)}


def _array(values: Matrix | Sequence[float | None]) -> NDArray[np.float64]:
    return np.array(values, dtype=float)  # None becomes NaN


def _mean(values: NDArray[np.float64]) -> float | None:
    """Mean that is undefined where it has no terms or an undefined one."""
    if values.size == 0 or np.isnan(values).any():
        return None
    return float(values.mean())
