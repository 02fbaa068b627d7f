"""Avalanche's classic benchmarks: what is trained on is what Avalanche's own streams give."""

import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import avalanche.benchmarks.classic as classic
import numpy as np
import pytest
import torch
import yaml
from one_run import execute, run_of
from PIL import Image
from torchvision import datasets

from palimpsest.benchmark.data.formats.pixels import Pixels
from palimpsest.benchmark.data.shared_data import share_through
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.families.avalanche import AvalancheBenchmark
from palimpsest.benchmark.scenarios.streams import avalanche_streams, decoded_streams
from palimpsest.benchmark.scenarios.streams.avalanche_streams import quietly
from palimpsest.benchmark.suites.loading import load_suite

REPO = Path(__file__).resolve().parents[3]
PLAIN = {"train_transform": None, "eval_transform": None}
QUICK = {"width": 5, "curve": {"every": 0}}


def settings(benchmark, arguments=None, **others):
    return AvalancheBenchmark(benchmark=benchmark, arguments=arguments or {}, **QUICK | others)


def test_keys_that_are_numbers_reach_avalanche_as_such(monkeypatch, tmp_path):
    given = {}

    def SplitNothing(per_exp_classes=None, names=None, dataset_root=None):
        given.update(per_exp_classes=per_exp_classes, names=names)

    monkeypatch.setattr(classic, "SplitNothing", SplitNothing, raising=False)
    (tmp_path / "file").touch()
    arguments = {"per_exp_classes": {"0": 5, "1": 3}, "names": {"a": 1, "2": 2}}
    with pytest.raises(UserError, match="has 0 experience"):
        avalanche_streams.streams("SplitNothing", arguments, 0, tmp_path)
    assert given == {"per_exp_classes": {0: 5, 1: 3}, "names": {"a": 1, "2": 2}}


@pytest.fixture(autouse=True)
def nothing_decoded():
    decoded_streams._loaded.cache_clear()


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A data folder with 100 and 40 random images in MNIST's layout."""
    root = tmp_path_factory.mktemp("data")
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for seed, (part, count) in enumerate({"train": 100, "t10k": 40}.items()):
        pixels = np.random.RandomState(seed).randint(0, 256, (count, 28, 28)).astype(np.uint8)
        header = struct.pack(">iiii", 0x803, count, 28, 28)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        labels = bytes(i % 10 for i in range(count))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 0x801, count) + labels)
    return root


@pytest.fixture
def cifar100(tmp_path, monkeypatch):
    """A data folder with two images of each class in CIFAR-100's layout."""
    for attribute in ("train_list", "test_list"):
        files = [[file, None] for file, _ in getattr(datasets.CIFAR100, attribute)]
        monkeypatch.setattr(datasets.CIFAR100, attribute, files)  # other checksums
    monkeypatch.setattr(datasets.CIFAR100, "meta", {**datasets.CIFAR100.meta, "md5": None})
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for seed, part in enumerate(("train", "test")):
        images = np.random.RandomState(seed).randint(0, 256, (200, 3072)).astype(np.uint8)
        content = {"data": images, "fine_labels": [i % 100 for i in range(200)]}
        (folder / part).write_bytes(pickle.dumps(content))
    names = {"fine_label_names": [f"class {i}" for i in range(100)]}
    (folder / "meta").write_bytes(pickle.dumps(names))
    return tmp_path


@pytest.fixture
def core50(tmp_path):
    """A data folder with a few images in the layout of CORe50's small images."""
    root = tmp_path / "CORe50"
    lists = root / "batches_filelists" / "NC_inc" / "run0"
    lists.mkdir(parents=True)
    (root / "NIC_v2_79_cat").mkdir()  # it makes these lists otherwise
    (root / "core50_32x32" / "s1").mkdir(parents=True)

    def image(name, label):
        pixels = np.random.RandomState(len(name) + label).randint(0, 256, (32, 32, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(root / "core50_32x32" / "s1" / name)
        return f"s1/{name} {label}\n"

    for batch in range(9):
        lines = [image(f"train_{batch}_{i}.png", batch) for i in range(3)]
        (lists / f"train_batch_{batch:02}_filelist.txt").write_text("".join(lines))
    lines = [image(f"test_{batch}.png", batch) for batch in range(9)]
    (lists / "test_filelist.txt").write_text("".join(lines))
    nested = {"ni": [[[] for _ in range(9)]]}
    for name, content in (("paths", []), ("labels", nested), ("LUP", nested), ("labels2names", {})):
        (root / f"{name}.pkl").write_bytes(pickle.dumps(content))
    return tmp_path


def assert_same(scenario, made, single_test=False):
    """Compare bytes, labels and task labels with Avalanche's own samples, one by one."""
    heads = sorted({e.dataset[0][2] for e in made.train_stream})
    for part in ("train", "test"):
        own, theirs = getattr(scenario, part), list(getattr(made, f"{part}_stream"))
        if part == "test" and single_test:
            theirs *= len(own)
        assert len(own) == len(theirs)
        for mine, other in zip(own, theirs, strict=True):
            x, y, task = mine.dataset.samples
            assert isinstance(x, Pixels)
            assert len(x) == len(y) == len(other.dataset)
            for i, (sample, label, its_task) in enumerate(other.dataset):
                if isinstance(sample, Image.Image):
                    expected = torch.from_numpy(np.array(sample)).permute(2, 0, 1)
                    assert torch.equal(x.bytes_of(i), expected)
                else:
                    assert torch.equal(x.bytes_of(i) / 255, sample)
                assert int(y[i]) == label
                assert task == heads.index(its_task)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SplitMNIST", {"n_experiences": 5}),
        ("SplitMNIST", {"n_experiences": 2, "return_task_id": True, "shuffle": False}),
        ("PermutedMNIST", {"n_experiences": 3}),
        ("RotatedMNIST", {"n_experiences": 2, "return_task_id": True}),
        ("RotatedMNIST", {"n_experiences": 2, "rotations_list": [0, 33]}),
    ],
)
def test_samples_are_those_of_the_streams(mnist, name, arguments):
    chosen = settings(name, arguments, validation=0)
    chosen.check_data(mnist)
    scenario = chosen.build(4, mnist, "cpu")
    own_seed = derive(4, "scenario") % 2**32
    made = getattr(classic, name)(**arguments, seed=own_seed, dataset_root=mnist, **PLAIN)
    assert_same(scenario, made)
    assert scenario.steps == [-(-len(e.dataset) // 64) for e in made.train_stream]


def test_colour_images_and_a_seed_that_is_given(cifar100):
    arguments = {"n_experiences": 10, "seed": 7, "class_ids_from_zero_in_each_exp": True}
    arguments["return_task_id"] = True
    chosen = settings("SplitCIFAR100", arguments, validation=0)
    assert chosen.data_sets() == {"cifar100"}
    scenario = chosen.build(1, cifar100, "cpu")
    made = classic.SplitCIFAR100(**arguments, dataset_root=cifar100, **PLAIN)
    assert_same(scenario, made)
    assert len(scenario.model(torch.zeros(1, 3, 32, 32), 9)[0]) == 10
    again = chosen.build(2, cifar100, "cpu")
    assert torch.equal(again.train[0].dataset.samples[1], scenario.train[0].dataset.samples[1])


def test_one_test_set_for_all_experiences(core50):
    arguments = {"scenario": "nc", "mini": True}
    chosen = settings("CORe50", arguments, validation=0)
    chosen.check_data(core50)
    scenario = chosen.build(0, core50, "cpu")
    made = classic.CORe50(**arguments, dataset_root=core50 / "CORe50", **PLAIN)
    assert_same(scenario, made, single_test=True)
    assert len(scenario.train) == 9
    assert scenario.test[0].dataset.samples[0].stored is scenario.test[8].dataset.samples[0].stored


def test_images_are_normalised_over_all_that_are_trained_on(mnist):
    scenario = settings("SplitMNIST", {"n_experiences": 5}, validation=0).build(0, mnist, "cpu")
    whole = torch.cat([e.dataset.tensors[0] for e in scenario.train]).double()
    assert abs(float(whole.mean())) < 1e-5
    assert abs(float(whole.std(correction=0)) - 1) < 1e-5


def test_validation_and_samples_are_taken_of_each_experience(mnist):
    chosen = settings("PermutedMNIST", {"n_experiences": 2}, validation=0.2, samples=50)
    scenario = chosen.build(0, mnist, "cpu")
    whole = settings("PermutedMNIST", {"n_experiences": 2}, validation=0).build(0, mnist, "cpu")
    for i in range(2):
        train, held_out = scenario.train[i].dataset, scenario.validation[i].dataset
        assert len(train) + len(held_out) == 50
        assert set(held_out.samples[1].tolist()) == set(train.samples[1].tolist()) == set(range(10))
        everything = {x.tobytes() for x in whole.train[i].dataset.tensors[0].numpy()}
        parts = [{x.tobytes() for x in part.tensors[0].numpy()} for part in (train, held_out)]
        assert parts[0] | parts[1] < everything
        assert not parts[0] & parts[1]


def test_the_runs_seed_decides_unless_one_is_given(mnist):
    def first_labels(seed, **arguments):
        chosen = settings("SplitMNIST", {"n_experiences": 5, **arguments})
        return set(chosen.build(seed, mnist, "cpu").train[0].classes_in_this_experience)

    given = {"fixed_class_order": [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]}
    assert first_labels(1) == first_labels(1)
    assert len({frozenset(first_labels(seed)) for seed in range(4)}) > 1
    assert len({frozenset(first_labels(seed, **given)) for seed in range(4)}) == 1


def test_building_moves_no_global_generator(mnist):
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    settings("RotatedMNIST", {"n_experiences": 2}).build(1, mnist, "cpu")
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_what_one_process_has_decoded_the_others_map(mnist, tmp_path, monkeypatch):
    chosen = settings("SplitMNIST", {"n_experiences": 5})
    share_through(tmp_path)
    try:
        first = chosen.build(0, mnist, "cpu")
        decoded_streams._loaded.cache_clear()
        monkeypatch.setattr(decoded_streams, "_decode", None)
        second = chosen.build(0, mnist, "cpu")
    finally:
        share_through(None)
    for one, other in zip(first.train, second.train, strict=True):
        assert torch.equal(one.dataset.tensors[0], other.dataset.tensors[0])
        assert torch.equal(one.dataset.samples[1], other.dataset.samples[1])


def test_blurry_boundaries_need_the_same_task_label(mnist):
    one = settings("SplitMNIST", {"n_experiences": 5}, blurry=0.4)
    one.check_data(mnist)
    mixed, pure = (s.build(0, mnist, "cpu") for s in (one, one.model_copy(update={"blurry": 0})))
    assert [len(e.dataset) for e in mixed.train] == [len(e.dataset) for e in pure.train]
    assert len(mixed.train[1].classes_in_this_experience) > 2
    assert len(mixed.test[1].classes_in_this_experience) == 2
    several = settings("SplitMNIST", {"n_experiences": 5, "return_task_id": True}, blurry=0.4)
    with pytest.raises(UserError, match="blurry needs one head"):
        several.check_data(mnist)


WRONG = {
    "benchmark: SplitMNST": "benchmark: .*no classic benchmark 'SplitMNST'; .* 'SplitMNIST'",
    "benchmark: ExMLMNIST": "benchmark: Avalanche's ExMLMNIST is no function",
    "benchmark: nc_benchmark": "no classic benchmark 'nc_benchmark'; expected one of|did you mean",
    "benchmark: SplitMNIST": "missing under arguments: n_experiences",
    "benchmark: SplitMNIST, arguments: {n_experience: 5}": "arguments.n_experience: .*did you mean",
    "benchmark: SplitMNIST, arguments: {n_experiences: five}": "n_experiences: .*type int",
    "benchmark: SplitMNIST, arguments: {n_experiences: 1}": "has 1 experience to train on",
    "benchmark: SplitMNIST, arguments: {n_experiences: 3}": "cannot be made with these arguments",
    "benchmark: SplitMNIST, arguments: {n_experiences: 5, dataset_root: x}": "decided by the scena",
    "benchmark: SplitMNIST, arguments: {n_experiences: 5, train_transform: x}": "decided by the sc",
    "benchmark: SplitMNIST, arguments: {n_experiences: 2021-01-01}": "expected a finite number",
    "benchmark: CORe50": "the files of Avalanche's benchmark CORe50 are not in .*CORe50: put them",
    "benchmark: SplitMNIST, data: mnist": "data: input should be 'benchmark'",
    "width: 5": "benchmark: ",
}


@pytest.mark.parametrize("text", WRONG)
def test_mistakes_are_told_in_one_sentence(mnist, tmp_path, text):
    file = tmp_path / "suite.yaml"
    scenario = f"{{family: avalanche, {text}}}"
    file.write_text(f"suite: s\nscenarios:\n  it: {scenario}\nstrategies:\n  finetune: {{}}\n")
    with pytest.raises(UserError, match=WRONG[text]) as caught:
        load_suite(file).check_data(mnist)
    assert "line 3" in str(caught.value)
    assert "\n" not in str(caught.value)


def fake(samples, monkeypatch, **attributes):
    """Let SplitMNIST give two experiences with these samples."""

    class Samples(list):
        targets_task_labels = (0,)

    stream = [SimpleNamespace(dataset=Samples(samples))] * 2
    streams = {"train_stream": stream, "test_stream": stream}

    def made(n_experiences: int = 2, dataset_root=None):
        return SimpleNamespace(**streams | attributes)

    monkeypatch.setattr(classic, "SplitMNIST", made)


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([(torch.zeros(1, 4, 4), torch.zeros(3))], "its label is no class, but of type Tensor"),
        ([(torch.zeros(1, 4, 4), 0.5)], "sample 1: its label is no class, but of type float"),
        ([(torch.zeros(1, 4, 4), 0), (torch.zeros(1, 5, 4), 0)], "expected images of one size"),
        ([("text", 0)], r"it is no image but of type str"),
        ([(torch.zeros(7), 0)], r"it is no image but of type Tensor and shape \(7,\)"),
    ],
)
def test_what_cannot_be_decoded_is_told(mnist, monkeypatch, samples, told):
    fake(samples, monkeypatch)
    with pytest.raises(UserError, match=told):
        settings("SplitMNIST").build(0, mnist, "cpu")


def test_streams_of_different_lengths_are_told(mnist, monkeypatch):
    fake([(torch.zeros(1, 4, 4), 0)], monkeypatch, test_stream=[None] * 3)
    with pytest.raises(UserError, match="has 2 experiences to train on and 3 to test on"):
        settings("SplitMNIST").check_data(mnist)


def test_numbers_that_are_no_pixels_are_left_as_they_are(mnist, monkeypatch):
    grey = torch.full((1, 4, 4), 51 / 255)
    odd = torch.linspace(-1, 1, 16).reshape(1, 4, 4)
    fake([(grey, 0), (odd, 1), (grey, 1)], monkeypatch)
    scenario = settings("SplitMNIST", validation=0).build(0, mnist, "cpu")
    x, y, _ = scenario.train[1].dataset.samples
    assert torch.equal(x, torch.stack([grey, odd, grey]))
    assert y.tolist() == [0, 1, 1]


def test_a_broken_image_is_told(core50):
    file = core50 / "CORe50" / "core50_32x32" / "s1" / "train_3_1.png"
    file.write_bytes(b"no image")
    chosen = settings("CORe50", {"scenario": "nc", "mini": True})
    with pytest.raises(UserError, match=r"training experience 4, sample 2: .*train_3_1.png"):
        chosen.build(0, core50, "cpu")


def test_the_arguments_are_part_of_the_key_and_a_run_is_carried_out(mnist, tmp_path):
    scenario = {"family": "avalanche", "benchmark": "SplitMNIST", **QUICK, "batch_size": 10}
    runs = [
        run_of(tmp_path, scenario | {"arguments": {"n_experiences": count}}, "wpl")
        for count in (2, 5)
    ]
    assert runs[0].key != runs[1].key
    record = execute(runs[1], mnist, scratch=tmp_path)
    assert record.status == "done", record.error
    assert len(record.accuracy_matrix) == 5
    assert yaml.safe_load(yaml.safe_dump(runs[1].spec.data["scenario"]))["arguments"]


def test_settings_need_neither_torch_nor_avalanche(tmp_path):
    program = (
        "import sys\n"
        "from palimpsest.benchmark.plugins.families import FAMILIES\n"
        "settings = FAMILIES['avalanche'](benchmark='CORe50', arguments={'run': 1})\n"
        "settings.model_dump(mode='json'), settings.data_sets()\n"
        "assert not {'torch', 'torchvision', 'avalanche', 'numpy'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)


def test_what_avalanche_prints_is_left_out(capsys):
    with quietly():
        print("Files already downloaded and verified")
    assert capsys.readouterr() == ("", "")
