"""The measuring program: that it works and compares like with like, never how fast anything is."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.data.formats.pixels import Pixels
from palimpsest.benchmark.runs.failure import DivergedError
from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.speed import importance
from palimpsest.benchmark.speed.measure import Case, Stopwatch, measure
from palimpsest.benchmark.speed.training import (
    cropped_and_flipped,
    stock_images,
    train_by_avalanche,
    train_by_harness,
    train_by_loop,
)
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.strategies.curvature.fisher import diagonal_fisher

TINY = [
    *(
        f"scenarios.{name}.{setting}"
        for name in ("split", "split_adam", "two_models", "two_models_curves")
        for setting in ("data=digits", "samples=150", "width=8")
    ),
    # So that there are steps after those of a mask:
    *(f"scenarios.{name}.batch_size=8" for name in ("split", "split_adam")),
    "strategies.exssnet.mask_steps=1",
    "scenarios.many_models.samples=40",
    "scenarios.many_models.epochs=3",
    "scenarios.many_models.width=8",
]
TRAINERS = {
    "loop": train_by_loop,
    "avalanche": train_by_avalanche,
    "palimpsest": train_by_harness,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def run_of(scenario, strategy, root):
    runs = load_suite("speed", settings=TINY).runs("cpu", root)
    return next(r for r in runs if (r.scenario, r.strategy) == (scenario, strategy))


def folder_of_images(folder):
    for split, count in (("train", 7), ("test", 2)):
        for label in range(10):
            own = folder / split / str(label)
            own.mkdir(parents=True)
            for i in range(count):
                pixels = np.random.default_rng(10 * label + i).integers(256, size=(16, 16, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(own / f"{i}.png")
    return folder


# The comparison is fair


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scenario", ["split", "split_adam", "two_models"])
def test_all_three_train_the_same_model_on_the_same_batches(scenario, root):
    run = run_of(scenario, "finetune", root)
    start = prepare(run, root).scenario.model.state_dict()
    ends = {name: train(run, root)[1].state_dict() for name, train in TRAINERS.items()}
    for name, value in ends["loop"].items():
        assert torch.equal(value, ends["palimpsest"][name])
        if scenario.startswith("split"):
            assert torch.equal(value, ends["avalanche"][name])
        else:  # Avalanche's multi-task module copies outputs about, which rounds differently
            torch.testing.assert_close(value, ends["avalanche"][name], rtol=1e-4, atol=1e-6)
    assert not all(torch.equal(start[name], ends["loop"][name]) for name in start)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scenario", ["images_cnn", "images_resnet"])
def test_augmented_images_train_all_three(scenario, tmp_path):
    """Each draws its own changes: what can be compared is the work and that all of them learn."""
    data = folder_of_images(tmp_path / "images")
    settings = [f"scenarios.{name}.data=folder:{data}" for name in ("images_cnn", "images_resnet")]
    settings += [
        "scenarios.images_cnn.width=4",
        "scenarios.images_resnet.network={name: reduced_resnet18, arguments: {width: 2}}",
    ]
    runs = load_suite("speed", settings=[*TINY, *settings]).runs("cpu", tmp_path)
    run = next(r for r in runs if (r.scenario, r.strategy) == (scenario, "finetune"))
    start = prepare(run, tmp_path).scenario.model.state_dict()
    for train in TRAINERS.values():
        end = train(run, tmp_path)[1].state_dict()
        assert all(torch.isfinite(value).all() for value in end.values())
        assert not torch.equal(*(each[next(iter(start))] for each in (start, end)))


def test_the_loop_crops_and_mirrors_as_torchvision_does():
    x = torch.randn(300, 3, 6, 6)
    torch.manual_seed(0)
    found = cropped_and_flipped(x)
    padded = torch.nn.functional.pad(x, [4] * 4)
    places = set()
    for image, own in zip(found, padded, strict=True):
        (place,) = {
            (top, left, mirrored)
            for top in range(9)
            for left in range(9)
            for mirrored in (False, True)
            for part in [own[:, top : top + 6, left : left + 6]]
            if torch.equal(part.flip(-1) if mirrored else part, image) and part.count_nonzero() > 9
        } or {None}
        places.add(place)
    assert {place[0] for place in places if place} >= set(range(2, 7))
    assert {place[2] for place in places if place} == {False, True}


def test_stock_images_are_those_of_the_scenario():
    images = Pixels(
        torch.randint(256, (5, 3, 6, 6), dtype=torch.uint8),
        torch.tensor([10.0, 20.0, 30.0]).view(1, 3, 1, 1),
        torch.tensor([3.0, 4.0, 5.0]).view(1, 3, 1, 1),
    )
    order = torch.tensor([4, 0, 2])
    plain = stock_images(images, order, torch.tensor([1, 0, 2]), augmented=False)
    changed = stock_images(images, order, torch.tensor([1, 0, 2]), augmented=True)
    for i, row in enumerate(order):
        torch.testing.assert_close(plain[i][0], images[row], rtol=1e-4, atol=1e-4)
    assert [plain[i][1] for i in range(3)] == [1, 0, 2]
    assert any(not torch.equal(changed[i][0], plain[i][0]) for i in range(3))


@pytest.mark.parametrize("workload", list(importance._WORKLOADS))
@pytest.mark.parametrize("estimator", ["exact", "empirical"])
def test_both_estimate_the_same_importance(workload, estimator):
    make, layers = importance._WORKLOADS[workload]
    torch.manual_seed(0)
    model, x = make(6)
    y = torch.arange(6)
    parameters = {
        f"{name}.{p}": value
        for name, module in model.eval().named_modules()
        if isinstance(module, layers)
        for p, value in module.named_parameters(recurse=False)
    }
    assert parameters
    fast = diagonal_fisher(model, parameters, x, y, estimator=estimator)
    slow = importance.loop(model, parameters, x, y, estimator=estimator)
    for name, value in slow.items():
        assert value.abs().max() > 0
        torch.testing.assert_close(fast[name], value, rtol=1e-5, atol=1e-7 * float(value.max()))


# The arithmetic of rates and ratios


def case(method, implementation, seconds):
    left = list(seconds)
    return Case("w", method, implementation, {"train": 100}, lambda: {"train": left.pop(0)})


def test_rates_are_medians_and_ratios_are_taken_within_a_repeat():
    rows = measure(
        [
            case("finetune", "loop", [1, 10, 2]),
            case("finetune", "avalanche", [10, 50, 10]),
            case("finetune", "palimpsest", [2, 10, 4]),
        ],
        repeats=3,
    )
    loop, stock, ours = rows
    assert [row.samples_per_second for row in rows] == [50, 10, 25]
    assert (loop.ratio_to_loop, stock.ratio_to_avalanche) == (1, 1)
    assert ours.ratio_to_loop == 0.5
    assert ours.ratio_to_avalanche == 5
    assert loop.ratio_to_avalanche == 5


def test_a_penalty_is_compared_with_the_plain_loop_and_avalanches_own():
    rows = measure(
        [
            case("finetune", "loop", [1]),
            case("finetune", "avalanche", [4]),
            case("ewc", "avalanche", [8]),
            case("ewc", "palimpsest", [2]),
            case("wpl", "palimpsest", [2]),
        ],
        repeats=1,
    )
    ewc, wpl = rows[-2:]
    assert (ewc.ratio_to_loop, ewc.ratio_to_avalanche) == (0.5, 4)
    assert (wpl.ratio_to_loop, wpl.ratio_to_avalanche) == (0.5, None)


def test_steps_alone_are_compared_with_a_plain_training():
    def gpm():
        return {"train": 4, "steps": 2}

    counts = {"train": 100, "steps": 100}
    rows = measure(
        [case("finetune", "loop", [1]), Case("w", "gpm", "palimpsest", counts, gpm)], repeats=1
    )
    assert [row.ratio_to_loop for row in rows if row.method == "gpm"] == [0.25, 0.5]


def test_what_diverges_is_left_out_and_named():
    found = [{"train": 1.0}]

    def diverges():
        if found:
            return found.pop()
        raise DivergedError("the loss became NaN")

    lines = []
    cases = [
        Case("split", "finetune", "palimpsest", {"train": 10}, lambda: {"train": 2.0}),
        Case("split", "badam", "palimpsest", {"train": 10}, diverges),
    ]
    (row,) = measure(cases, 2, lines.append)
    assert (row.method, row.samples_per_second) == ("finetune", 5.0)
    assert [line for line in lines if "left out" in line] == [
        "split: badam, palimpsest is left out: the loss became NaN"
    ]


def test_a_stopwatch_measures_from_its_last_reading():
    watch = Stopwatch("cpu")
    sum(range(200_000))
    first = watch.seconds()
    assert 0 < watch.seconds() < first


# The command


@pytest.mark.filterwarnings("ignore")
@pytest.mark.thorough
def test_the_command_measures_everything(tmp_path, capsys):
    settings = [word for setting in TINY for word in ("--set", setting)]
    with pytest.raises(SystemExit) as left:
        main(["speed", "--json", "--repeats", "1", "--data-root", str(tmp_path), *settings])
    assert left.value.code == 0
    rows = json.loads(capsys.readouterr().out)
    assert {tuple(row) for row in rows} == {
        (
            "workload",
            "method",
            "phase",
            "implementation",
            "samples_per_second",
            "ratio_to_loop",
            "ratio_to_avalanche",
        )
    }
    assert all(row["samples_per_second"] > 0 for row in rows)
    found = {(r["workload"], r["method"], r["phase"], r["implementation"]) for r in rows}
    assert len(found) == len(rows)
    for workload in ("split", "two_models"):
        for phase in ("train", "evaluate"):
            assert (workload, "finetune", phase, "loop") in found
            for method in ("finetune", "ewc", "si"):
                assert (workload, method, phase, "avalanche") in found
            steps = ("spg", "gpm", "inflora", "supsup", "exssnet", "vcl", "td_vcl", "badam", "pic")
            for method in ("finetune", "ewc", "si", "wpl", "laplace", *steps):
                assert (workload, method, phase, "palimpsest") in found
        assert (workload, "gpm", "steps", "palimpsest") in found
        assert not any(row[:3] == (workload, "finetune", "steps") for row in found)
    assert ("two_models_curves", "finetune", "train", "palimpsest") in found
    for phase in ("after 1 model", "after 50 models"):
        assert {("many_models", m, phase, "palimpsest") for m in ("ewc", "wpl")} <= found
    for row in rows:
        if row["implementation"] == "loop":
            assert row["ratio_to_loop"] == 1
        elif row["workload"] != "many_models":
            assert row["ratio_to_loop"] > 0


def test_the_command_prints_a_table_and_tells_what_it_measures(monkeypatch, tmp_path, capsys):
    cases = [case("finetune", "loop", [1]), case("finetune", "palimpsest", [2])]
    monkeypatch.setattr("palimpsest.benchmark.cli.commands.speed._cases", lambda *_: cases)
    with pytest.raises(SystemExit) as left:
        main(["speed", "--repeats", "1", "--data-root", str(tmp_path)])
    assert left.value.code == 0
    printed, told = capsys.readouterr()
    assert told.splitlines() == ["w: finetune, loop", "w: finetune, palimpsest"]
    assert [line.split()[-3:] for line in printed.splitlines()[1:]] == [
        ["100", "1.00", "-"],
        ["50", "0.50", "-"],
    ]


# Steady in the number of models
