"""What a run takes: the bytes of a strategy's state, what is left free, the peak of its memory."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from one_run import TWO_MODELS, execute, run_of
from torch import nn

from palimpsest.benchmark.runs.cost import peak_memory, reset_peak_memory, state_bytes
from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.runs.record import free_share
from palimpsest.benchmark.runs.record_shapes import check_shapes
from palimpsest.reports.html.run_details import run_details
from palimpsest.reports.runs.cells import group


@dataclass
class Held:
    tensor: torch.Tensor
    inside: dict


def plugin(**attributes):
    return SimpleNamespace(**attributes)


def test_tensors_are_found_wherever_a_plugin_keeps_them():
    float32, float64 = torch.zeros(10), torch.zeros(5, dtype=torch.float64)
    held = plugin(
        strength=3.0,
        name="wpl",
        importances={"a": float32, "b": [torch.zeros(3), (torch.zeros(2), None)]},
        dataclass=Held(float64, {1: torch.zeros(7)}),
        teacher=nn.Linear(4, 2),
        normalised=nn.BatchNorm1d(3, affine=False),
    )
    floats = 10 + 3 + 2 + 7 + (4 * 2 + 2) + 3 + 3
    assert state_bytes(held, nn.Linear(1, 1)) == 4 * floats + 8 * 5 + 8  # BatchNorm counts batches


def test_a_storage_is_counted_once_and_whole():
    tensor = torch.zeros(100)
    held = plugin(one=tensor, two={"again": tensor}, part=tensor[:10], other=tensor.view(10, 10))
    assert state_bytes(held, nn.Linear(1, 1)) == 400
    assert state_bytes(plugin(part=tensor[:10]), nn.Linear(1, 1)) == 400


def test_what_belongs_to_the_model_is_not_the_strategys():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model(torch.zeros(2, 3)).sum().backward()
    held = plugin(
        parameters=dict(model.named_parameters()),
        values=[p.detach() for p in model.parameters()],
        gradients=[p.grad for p in model.parameters()],
        buffers=list(model.buffers()),
        model=model,
        own=torch.zeros(6),
    )
    assert state_bytes(held, model) == 24


@pytest.mark.skipif(sys.platform != "linux", reason="the peak cannot be reset here")
def test_the_peak_is_that_of_the_run_and_not_of_an_earlier_one():
    size = 200 * 2**20
    block = torch.ones(size // 4)
    high = peak_memory("cpu")
    del block
    reset_peak_memory("cpu")
    low = peak_memory("cpu")
    assert low < high - size // 2
    block = torch.ones(size // 4)
    assert peak_memory("cpu") > low + size // 2
    del block


THREE_MODELS = {"family": "split", "data": "digits", "steps": 12, "width": 8}


def carried_out(folder, strategy, settings=None, scenario=THREE_MODELS):
    record = execute(run_of(folder, scenario, strategy, settings), folder)
    assert record.status == "done", record.error
    return record


def test_what_is_free_is_asked_after_each_model_and_kept_by_tensor(tmp_path):
    record = carried_out(tmp_path, "spg", {"samples": 50})
    found, models = record.cost["capacity"], len(record.accuracy_matrix)
    assert models > 2
    assert (
        sum(tensor["parameters"] for tensor in found.values()) == record.cost["shared_parameters"]
    )
    for tensor in found.values():
        assert len(tensor["free"]) == models
        assert sorted(tensor["free"], reverse=True) == tensor["free"]  # importances only grow
    total, shared = [0.0] * models, record.cost["shared_parameters"]
    for tensor in found.values():
        for model, share in enumerate(tensor["free"]):
            total[model] += share * tensor["parameters"] / shared
    assert record.free_shares == pytest.approx(total)
    assert 0 < total[-1] < total[0] < 1


def test_evaluations_and_what_comes_before_them_are_timed(tmp_path):
    cost = carried_out(tmp_path, "finetune").cost
    assert cost["evaluation_seconds"] > 0
    assert cost["building_seconds"] > 0


def test_runs_of_one_training_share_what_it_took_to_build_and_evaluate(tmp_path):
    ready = prepare(run_of(tmp_path, THREE_MODELS, "finetune"), tmp_path)
    alone, of_four = (ready.costs.result(ready.scenario.model, runs) for runs in (1, 4))
    assert of_four["building_seconds"] == alone["building_seconds"] / 4
    assert of_four["evaluation_seconds"] == alone["evaluation_seconds"] / 4


def test_tensors_of_wrapped_layers_have_the_names_of_the_network(tmp_path):
    masked = carried_out(tmp_path, "exssnet", {"mask_steps": 6, "density": 0.2})
    plain = carried_out(tmp_path, "freeze")
    assert masked.cost["capacity"].keys() == plain.cost["capacity"].keys()
    assert masked.cost["shared_parameters"] == plain.cost["shared_parameters"]
    branched = carried_out(tmp_path, "inflora", {"samples": 50})
    assert branched.cost["capacity"].keys() == plain.cost["capacity"].keys()
    assert 0 <= branched.free_shares[-1] < branched.free_shares[0] < 1
    weights = {n: t for n, t in masked.cost["capacity"].items() if n.endswith("weight")}
    for tensor in weights.values():
        kept = round(0.2 * tensor["parameters"])
        assert tensor["free"][0] == pytest.approx(1 - kept / tensor["parameters"])
        assert tensor["free"][-1] < tensor["free"][0]
    assert plain.free_shares == [0.0] * len(plain.accuracy_matrix)


def test_a_first_model_that_was_taken_over_is_asked_about_too(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    runs = [run_of(tmp_path, THREE_MODELS, name) for name in ("finetune", "freeze")]
    plain, taken = (execute(run, tmp_path, scratch) for run in runs)
    assert taken.cost["training_seconds"][0] is None
    assert taken.free_shares[0] == 0.0
    assert "capacity" not in plain.cost
    assert plain.free_shares == []


def test_a_model_after_which_nothing_was_asked_is_unknown():
    tensors = [
        {"parameters": 3, "free": [None, 0.5]},
        {"parameters": 1, "free": [None, 0.1]},
    ]
    assert free_share(tensors) == [None, pytest.approx(0.4)]
    assert free_share([]) == []


@pytest.mark.parametrize(
    "capacity",
    [
        [],
        {"a": 1},
        {"a": {"parameters": -1, "free": [1.0]}},
        {"a": {"parameters": 2}},
        {"a": {"parameters": 2, "free": [True]}},
        {"a": {"parameters": 2, "free": [1.0]}},
        {"a": {"parameters": 2, "free": [1.0, 1.0]}, "b": {"parameters": 2, "free": []}},
    ],
    ids=str,
)
def test_a_capacity_of_another_shape_is_refused(tmp_path, capacity):
    record = carried_out(tmp_path, "freeze", scenario=TWO_MODELS | {"steps": 2})
    values = {**vars(record), "error": None, "spec": record.spec.data}
    check_shapes(values)
    with pytest.raises(ValueError, match="capacity"):
        check_shapes({**values, "cost": record.cost | {"capacity": capacity}})


@pytest.mark.parametrize("classes", [{}, ["a"], [["a"]], [["a"], [1]], [["a"], ["b"], ["c"]]])
def test_classes_of_another_shape_are_refused(tmp_path, classes):
    record = carried_out(tmp_path, "finetune", scenario=TWO_MODELS | {"steps": 2})
    values = {**vars(record), "error": None, "spec": record.spec.data}
    check_shapes({**values, "cost": record.cost | {"classes": [["a", "b"], ["c"]]}})
    with pytest.raises(ValueError, match="classes"):
        check_shapes({**values, "cost": record.cost | {"classes": classes or [{}]}})


def test_the_classes_of_a_split_are_kept_with_its_run(tmp_path):
    split = {"family": "split", "data": "digits", "experiences": 5, "width": 4, "steps": 1,
             "shuffle_classes": True}  # fmt: skip
    record = carried_out(tmp_path, "finetune", scenario=split)
    classes = record.cost["classes"]
    assert sorted(name for own in classes for name in own) == [str(digit) for digit in range(10)]
    assert [len(own) for own in classes] == [2] * 5
    (details,) = run_details(group([record]))["runs"]
    assert details["classes"] == [
        [str(number), ", ".join(own)] for number, own in enumerate(classes, 1)
    ]
    assert not any("classes" in name for name, _ in details["cost"])
