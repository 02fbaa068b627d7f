"""Each metric against numbers worked out by hand and against plain loops."""

import numpy as np
import pytest

from benchmark import metrics

# Three models: rows after training model 0, 1, 2; columns accuracy of model 0, 1, 2.
R = [[0.9, 0.1, 0.2], [0.95, 0.8, 0.3], [0.6, 0.7, 0.85]]
INITIAL = [0.1, 0.1, 0.15]


def test_average_accuracy_is_the_mean_of_the_last_row():
    assert metrics.average_accuracy(R) == pytest.approx((0.6 + 0.7 + 0.85) / 3)


def test_stability_leaves_the_last_model_out():
    assert metrics.stability(R) == pytest.approx((0.6 + 0.7) / 2)


def test_learning_accuracy_leaves_the_first_model_out():
    assert metrics.learning_accuracy(R) == pytest.approx((0.8 + 0.85) / 2)


def test_forgetting_counts_from_the_best_accuracy_ever():
    assert metrics.forgetting(R) == pytest.approx(((0.95 - 0.6) + (0.8 - 0.7)) / 2)


def test_backward_transfer_counts_from_when_the_model_had_learned():
    assert metrics.backward_transfer(R) == pytest.approx(((0.6 - 0.9) + (0.7 - 0.8)) / 2)


def test_forward_transfer_counts_from_the_untrained_model():
    expected = ((0.1 - 0.1) + (0.3 - 0.15)) / 2
    assert metrics.forward_transfer(R, INITIAL) == pytest.approx(expected)


def test_plasticity_compares_new_models_with_training_alone():
    alone = [[0.9, 0, 0], [0.9, 0.85, 0], [0.9, 0.85, 0.8]]
    assert metrics.plasticity(R, alone) == pytest.approx(((0.8 - 0.85) + (0.85 - 0.8)) / 2)


def test_intransigence_compares_new_models_with_joint_training():
    joint = [[None] * 3, [None] * 3, [0.9, 0.9, 0.95]]
    assert metrics.intransigence(R, joint) == pytest.approx(((0.9 - 0.8) + (0.95 - 0.85)) / 2)


def test_forgetting_reduction_is_zero_for_fine_tuning_and_one_without_forgetting():
    kept = [[0.9, 0.1], [0.9, 0.8]]
    lost = [[0.9, 0.1], [0.5, 0.9]]
    assert metrics.forgetting_reduction(lost, lost) == 0
    assert metrics.forgetting_reduction(kept, lost) == 1
    assert metrics.forgetting_reduction([[0.9, 0.1], [0.7, 0.8]], lost) == pytest.approx(0.5)


def test_forgetting_reduction_is_undefined_where_fine_tuning_forgets_nothing():
    gained = [[0.5, 0.1], [0.6, 0.8]]
    assert metrics.forgetting_reduction(gained, gained) is None


def test_minimum_accuracy_looks_at_the_curves_while_later_models_train():
    curves = [
        {"model": 0, "steps": [0, 5], "accuracy": [[0.0, 0.9]]},
        {"model": 1, "steps": [0, 5], "accuracy": [[0.9, 0.2], [0.0, 0.8]]},
        {"model": 2, "steps": [0, 5], "accuracy": [[0.95, 0.7], [0.8, 0.3], [0.0, 0.85]]},
    ]
    assert metrics.minimum_accuracy(R, curves) == pytest.approx((0.2 + 0.3) / 2)


def test_the_worst_case_is_the_last_model_with_the_minima_of_the_others():
    curves = [{"model": 1, "steps": [0, 1], "accuracy": [[0.5, 0.2], [0.1, 0.8]]}]
    lowest = [min(0.2, *(R[i][0] for i in range(3))), min(R[i][1] for i in range(1, 3))]
    expected = (R[2][2] + sum(lowest)) / 3
    assert metrics.worst_case_accuracy(R, curves) == pytest.approx(expected)
    assert metrics.worst_case_accuracy([[0.5]], []) is None


def test_minimum_accuracy_without_curves_looks_at_the_matrix():
    assert metrics.minimum_accuracy(R, []) == pytest.approx((0.6 + 0.7) / 2)


def test_random_matrices_agree_with_plain_loops():
    rng = np.random.default_rng(0)
    for _ in range(20):
        count = int(rng.integers(2, 7))
        r = rng.random((count, count)).tolist()
        b = rng.random(count).tolist()
        last = count - 1
        forgetting = backward = forward = 0.0
        for j in range(last):
            forgetting += max(r[i][j] for i in range(j, last)) - r[last][j]
            backward += r[last][j] - r[j][j]
            forward += r[j][j + 1] - b[j + 1]
        own = metrics.own_metrics(r, b, [])
        assert own["forgetting"] == pytest.approx(forgetting / last)
        assert own["backward_transfer"] == pytest.approx(backward / last)
        assert own["forward_transfer"] == pytest.approx(forward / last)


def test_one_model_has_no_earlier_or_new_models():
    own = metrics.own_metrics([[0.9]], [0.1], [])
    assert own["average_accuracy"] == pytest.approx(0.9)
    assert all(value is None for name, value in own.items() if name != "average_accuracy")


def test_training_all_at_once_leaves_undefined_what_needs_an_order():
    own = metrics.own_metrics([[None, None], [0.9, 0.8]], [0.1, 0.1], [])
    assert own["average_accuracy"] == pytest.approx(0.85)
    assert own["stability"] == pytest.approx(0.9)
    assert own["forgetting"] is None
    assert own["backward_transfer"] is None
    assert own["forward_transfer"] is None
    assert own["minimum_accuracy"] is None


def test_own_and_paired_metrics_are_all_the_metrics():
    names = set(metrics.own_metrics(R, INITIAL, [])) | set(metrics.paired_metrics(R, {}))
    assert names == set(metrics.METRICS)


def test_a_missing_reference_leaves_its_metric_undefined():
    paired = metrics.paired_metrics(R, {"finetune": R})
    assert paired == {"forgetting_reduction": 0.0, "plasticity": None, "intransigence": None}
