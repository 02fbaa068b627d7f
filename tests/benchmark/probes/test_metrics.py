"""Each metric against numbers worked out by hand and against plain loops."""

import numpy as np
import pytest
from known_facts import facts_of

from palimpsest.benchmark.metrics import FINETUNE_FORGETTING, METRICS, Computed, columns
from palimpsest.benchmark.metrics import accuracy as metrics
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.suites.spec import Spec

# Three models: rows after training model 0, 1, 2; columns accuracy of model 0, 1, 2.
R = [[0.9, 0.1, 0.2], [0.95, 0.8, 0.3], [0.6, 0.7, 0.85]]
INITIAL = [0.1, 0.1, 0.15]


def run(r, b=(), curves=(), references=None, **changes):
    """A finished run that measured this."""
    spec = Spec({"scenario": {}, "strategy": {"strategy": "wpl"}, "seed": 0})
    return Record(
        key="abc", suite="s", scenario="s", strategy="wpl", strength=1.0, seed=0, spec=spec,
        facts=facts_of("wpl"),
        accuracy_matrix=r, initial_accuracy=list(b), curves=list(curves),
        references=references or {}, **({"status": "done"} | changes),
    )  # fmt: skip


def computed(r, b=(), curves=(), references=None):
    """All its metrics."""
    return dict(Computed(run(r, b, curves, references)))


def test_average_accuracy_is_the_mean_of_the_last_row():
    assert metrics.average_accuracy(R[-1]) == pytest.approx((0.6 + 0.7 + 0.85) / 3)


def test_average_accuracy_of_models_trained_by_turns_is_of_the_last_moment():
    def average(*accuracies):
        moments = [{"visit": i, "steps": i, "accuracy": list(a)} for i, a in enumerate(accuracies)]
        return run([], moments=moments).metrics["average_accuracy"]

    assert average([0.9, 0.9], [0.5, 0.25]) == 0.375
    assert average([0.9, 0.9], [None, 0.25]) is None  # no mean of some models
    assert average() is None
    found = run([], moments=[{"visit": 0, "steps": 1, "accuracy": [0.5]}]).metrics
    assert [name for name, value in found.items() if value is not None] == ["average_accuracy"]


def test_a_table_has_columns_for_metrics_that_apply_to_some_run():
    in_turn = run(R)
    visits = run([], moments=[{"visit": 0, "steps": 1, "accuracy": [0.5]}])
    failed = run([], status="failed")
    names = ["stability", "forgetting"]

    def shown(*runs):
        return columns(names, runs, otherwise="average_accuracy")

    assert shown(in_turn, failed) == shown(failed) == shown() == names
    assert shown(visits, failed) == ["average_accuracy"]
    assert shown(visits, in_turn) == [*names, "average_accuracy"]
    assert columns(names, [visits]) == []
    assert columns(["average_accuracy"], [visits, in_turn]) == ["average_accuracy"]


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
    joint = [[None] * 3, [None] * 3, [0.9, 0.9, 1.0]]
    assert metrics.intransigence(R, joint) == pytest.approx(((0.9 - 0.8) + (1.0 - 0.85)) / 2)


def test_forgetting_reduction_is_zero_for_fine_tuning_and_one_without_forgetting():
    kept = [[0.9, 0.1], [0.9, 0.8]]
    lost = [[0.9, 0.1], [0.5, 0.9]]
    assert metrics.forgetting_reduction(lost, lost) == 0
    assert metrics.forgetting_reduction(kept, lost) == 1
    assert metrics.forgetting_reduction([[0.9, 0.1], [0.7, 0.8]], lost) == pytest.approx(0.5)


@pytest.mark.parametrize("lost", [5.6e-17, 0.0, -0.1, 0.0099])
def test_forgetting_reduction_is_undefined_where_fine_tuning_forgets_less_than_a_point(lost):
    plain = [[0.9, 0.1], [0.9 - lost, 0.8]]
    assert metrics.forgetting_reduction([[0.9, 0.1], [0.85, 0.8]], plain) is None
    clear = [[0.9, 0.1], [0.889, 0.8]]  # 1.1 points
    assert metrics.forgetting_reduction([[0.9, 0.1], [0.85, 0.8]], clear) < 0


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
    for row, known in ((2, False), (1, True), (0, True)):
        holed = [[None if (i, j) == (row, 2) else R[i][j] for j in range(3)] for i in range(3)]
        assert (metrics.worst_case_accuracy(holed, curves) is not None) == known


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
        own = computed(r, b)
        assert own["forgetting"] == pytest.approx(forgetting / last)
        assert own["backward_transfer"] == pytest.approx(backward / last)
        assert own["forward_transfer"] == pytest.approx(forward / last)


def test_one_model_has_no_earlier_or_new_models():
    own = computed([[0.9]], [0.1])
    assert own["average_accuracy"] == pytest.approx(0.9)
    assert all(value is None for name, value in own.items() if name != "average_accuracy")


def test_training_all_at_once_leaves_undefined_what_needs_an_order():
    own = computed([[None, None], [0.9, 0.8]], [0.1, 0.1])
    assert own["average_accuracy"] == pytest.approx(0.85)
    assert own["stability"] == pytest.approx(0.9)
    assert own["forgetting"] is None
    assert own["backward_transfer"] is None
    assert own["forward_transfer"] is None
    assert own["minimum_accuracy"] is None


def test_every_metric_and_what_the_ratio_divides_by_are_computed_once(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "palimpsest.benchmark.metrics.computed.compute", lambda metric, _: asked.append(metric.name)
    )
    found = Computed(run(R, INITIAL))
    assert len(found) == len(dict(found)) == len(METRICS) + 1
    assert repr(found) == repr(dict(found))
    assert asked == [*found] == [*METRICS, FINETUNE_FORGETTING]


FINETUNED = [[0.9, 0.1, 0.2], [0.5, 0.82, 0.3], [0.3, 0.4, 0.88]]
ALONE = [[0.9, 0, 0], [0.9, 0.84, 0], [0.9, 0.84, 0.89]]
JOINT = [[None] * 3, [None] * 3, [0.91, 0.87, 0.93]]
REFERENCES = {"baseline": FINETUNED, "alone": ALONE, "joint": JOINT}
COMPARED = {
    "finetune_forgetting": ("baseline", ((0.9 - 0.3) + (0.82 - 0.4)) / 2),
    "forgetting_reduction": ("baseline", 1 - (0.35 + 0.1) / (0.6 + 0.42)),
    "plasticity": ("alone", ((0.8 - 0.84) + (0.85 - 0.89)) / 2),
    "intransigence": ("joint", ((0.87 - 0.8) + (0.93 - 0.85)) / 2),
}


def test_each_metric_is_compared_with_its_own_reference_and_needs_no_other():
    found = computed(R, INITIAL, references=REFERENCES)
    assert {m.name for m in METRICS.values() if m.reference} == COMPARED.keys() - {
        "finetune_forgetting"
    }
    for name, (kind, value) in COMPARED.items():
        assert found[name] == pytest.approx(value), name
        assert computed(R, INITIAL, references={kind: REFERENCES[kind]})[name] == found[name]
        others = {k: matrix for k, matrix in REFERENCES.items() if k != kind}
        assert computed(R, INITIAL, references=others)[name] is None


def curve(model, count, points, rng):
    accuracy = [rng.random(points).tolist() for _ in range(model + 1)]
    return {"model": model, "steps": list(range(points)), "accuracy": accuracy}


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert (value is None) == (other[name] is None), name
        assert value is None or value == other[name], name


def test_the_order_of_curves_and_points_changes_no_metric():
    rng = np.random.default_rng(4)
    for _ in range(100):
        count, points = int(rng.integers(1, 6)), int(rng.integers(0, 5))
        r, b = rng.random((count, count)).tolist(), rng.random(count).tolist()
        references = {k: rng.random((count, count)).tolist() for k in ("baseline", "joint")}
        curves = [curve(i, count, points, rng) for i in range(count)]
        if points and rng.random() < 0.6:  # one point is not a number
            lines = curves[int(rng.integers(count))]["accuracy"]
            lines[int(rng.integers(len(lines)))][int(rng.integers(points))] = rng.choice(
                [float("nan"), None]
            )
        found = computed(r, b, curves, references)
        for value in found.values():
            assert value is None or np.isfinite(value)
        for _ in range(3):
            order = rng.permutation(points)
            turned = [
                one | {"accuracy": [[line[k] for k in order] for line in one["accuracy"]]}
                for one in (curves[i] for i in rng.permutation(count))
            ]
            same(computed(r, b, turned, references), found)


def test_a_point_that_is_no_number_leaves_the_minimum_undefined_wherever_it_stands():
    for missing in (float("nan"), None):
        for line in ([missing, 0.2], [0.2, missing]):
            curves = [{"model": 1, "steps": [0, 1], "accuracy": [line, [0.1, 0.8]]}]
            assert metrics.minimum_accuracy(R, curves) is None
            assert metrics.worst_case_accuracy(R, curves) is None
            # That of the model in training itself does not count.
            curves = [{"model": 1, "steps": [0, 1], "accuracy": [[0.5, 0.6], line]}]
            assert metrics.minimum_accuracy(R, curves) == metrics.minimum_accuracy(
                R, [{"model": 1, "steps": [0, 1], "accuracy": [[0.5, 0.6], [0.1, 0.8]]}]
            )


def test_unknown_entries_leave_what_needs_them_undefined():
    rng = np.random.default_rng(5)
    for _ in range(200):
        count = int(rng.integers(1, 5))
        r = rng.random((count, count))
        unknown = rng.random((count, count)) < 0.3
        holed = [[None if u else v for v, u in zip(*row, strict=True)]
                 for row in zip(r.tolist(), unknown, strict=True)]  # fmt: skip
        complete = computed(r.tolist(), [0.1] * count, [], {"baseline": r.tolist()})
        found = computed(holed, [0.1] * count, [], {"baseline": r.tolist()})
        for name, value in found.items():
            assert value is None or value == complete[name]
        assert (found["average_accuracy"] is None) == bool(unknown[-1].any())
        lower = np.tril(unknown)[:, :-1].any()
        assert (found["forgetting"] is None) == (count == 1 or bool(lower))


def test_forgetting_looks_back_to_when_a_model_had_learned_and_not_further():
    r = [[0.9, 0.95, 0.1], [0.8, 0.7, 0.1], [0.6, 0.5, 0.9]]
    assert metrics.forgetting(r) == pytest.approx(((0.9 - 0.6) + (0.7 - 0.5)) / 2)
    chaudhry = ((0.9 - 0.6) + (0.95 - 0.5)) / 2  # equation 3: the maximum over all i < T-1
    assert metrics.forgetting(r) < chaudhry
