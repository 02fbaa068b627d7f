"""A run's spec: its keys stay, it comes back as it was stored, and it is read in one place."""

import hashlib
import json
import pickle
from dataclasses import replace

import pytest

from palimpsest.benchmark.runs.record import JSON_COLUMNS, Record, columns_of, record_of
from palimpsest.benchmark.scenarios.families.two_models import TwoModels
from palimpsest.benchmark.suites import suite as suite_module
from palimpsest.benchmark.suites.file import shipped_suites
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.suites.spec import Spec

KEYS = {
    "cifar": (162, "ff7fcc5ebe00de0e"),
    "methods/isolation_cifar": (450, "73e380ebc54935c6"),
    "methods/isolation_inside": (100, "a825f6175987bdd3"),
    "methods/isolation_permuted": (450, "8783404c3b53db32"),
    "methods/isolation_pool": (450, "0732a19f3491294f"),
    "methods/isolation_same": (630, "26f2de9e1ec8ce1a"),
    "methods/isolation_split": (1180, "37d445b22642d333"),
    "methods/isolation_turned": (640, "870aa6eb7a8982b9"),
    "methods/merging": (1890, "aebd991f8fb4dd12"),
    "methods/merging_inside": (200, "b5081df840f820b3"),
    "methods/merging_permuted": (560, "fe2a009a426e3d29"),
    "methods/merging_pool_permuted": (380, "cada9b95b76b33f8"),
    "methods/merging_pool_rotated": (380, "762bc1d7e59603e9"),
    "methods/merging_rotated": (560, "7f9079a9063ac790"),
    "methods/posteriors": (480, "3c23564aa0fb3dc0"),
    "methods/posteriors_classic": (510, "52671fd0042eb4c3"),
    "methods/posteriors_pool": (210, "d669eaa11bdbca42"),
    "methods/posteriors_same": (200, "2858f7cd374be71c"),
    "methods/posteriors_sgd": (90, "7f8e881cc9953a01"),
    "nas/cifar_schedules": (16, "e54b059618c2d310"),
    "nas/cifar_search": (56, "dbc405ffba907538"),
    "nas/cifar_truth": (3, "b6bc55124e575a5d"),
    "nas/convolutional_schedules": (72, "86537d43a1fe85a9"),
    "nas/convolutional_search": (84, "1dfff06a51824adb"),
    "nas/convolutional_truth": (3, "dae86821dc64360a"),
    "nas/convolutional_warm": (168, "a36658de91b8a573"),
    "nas/convolutional_warm_controls": (84, "dcf332f7a668d7f1"),
    "nas/recurrent_constant": (48, "e3c4504d72c392e1"),
    "nas/recurrent_controller": (48, "12d4778cc2e36e19"),
    "nas/recurrent_schedules": (48, "d16df5b9d66b7e45"),
    "nas/recurrent_search": (96, "7876b8183319a12d"),
    "nas/recurrent_truth": (3, "50813df57019f32d"),
    "nas/recurrent_warm": (192, "1ab2c6947331a497"),
    "nas/recurrent_warm_controls": (84, "777e427fb43e3bce"),
    "nas_paper/enas_convolutional": (15, "a493d8aeb921058e"),
    "nas_paper/enas_recurrent": (15, "012e0994d67feae6"),
    "paper/applications": (120, "51cecf99fd50e6bf"),
    "paper/cold_start": (350, "df7b5d583df33c56"),
    "paper/convergence": (520, "fa9b7ef73d22da62"),
    "paper/figure3": (560, "8161d9b17284024d"),
    "paper/figure3_priors": (240, "48dfe22f319f2be9"),
    "paper/fisher": (240, "21f326190642ac7f"),
    "paper/many_models": (216, "52eb05ce87456245"),
    "paper/protection": (600, "19e0b7eda6452b44"),
    "paper/regimes": (234, "b760fd365b925ce1"),
    "paper/schur": (108, "9d0bcc5620232762"),
    "paper/shared_layers": (240, "a2827a26f8a07c73"),
    "paper/strength": (414, "eae6316902766395"),
    "methods/which_class": (900, "f1e3f9d652c486dc"),
    "methods/which_task": (1330, "51f839645f2cd62e"),
    "methods/which_ten": (1450, "00bde15ce64eb35b"),
    "methods/which_two": (1420, "3290ce6ffba0cf76"),
    "published/avalanche_permuted_ewc": (30, "1abcf01d97df7528"),
    "published/avalanche_permuted_si": (25, "1f781efe2b6f53a6"),
    "published/avalanche_permuted_trained": (80, "27ab953c5ccc7ada"),
    "published/avalanche_split": (20, "359161f9d5d6fbc2"),
    "published/fisher_2025": (2100, "c6c5a0c91f6bc818"),
    "published/permuted_mnist_class": (120, "c96ae14420483591"),
    "published/permuted_mnist_domain": (140, "1c1cf90789e31eda"),
    "published/permuted_mnist_domain_smaller": (12, "cd3c0046a5d82679"),
    "published/permuted_mnist_domain_unpadded": (5, "e542aa1064e3269f"),
    "published/permuted_mnist_task": (120, "5261024ada3fd254"),
    "published/permuted_mnist_task_unpadded": (5, "836e592c1fd0a9e7"),
    "published/split_mnist_2022_class": (20, "393296723b7eb512"),
    "published/split_mnist_2022_domain": (40, "939f6adcbae0cd1a"),
    "published/split_mnist_all_outputs": (10, "d844c2b7a8b98c39"),
    "published/split_mnist_class": (160, "24c4c199195e544b"),
    "published/split_mnist_domain": (160, "8b982c8b6f169329"),
    "published/split_mnist_protocol": (30, "ee555f376c68020b"),
    "published/split_mnist_task": (180, "60b1147d2d5815b6"),
    "published/supsup_permuted": (20, "865d44f649b7ae72"),
    "published/td_vcl_permuted": (25, "e5b49022b52b054d"),
    "published/td_vcl_permuted_betas": (14, "38ef97510b792d10"),
    "published/zenke_permuted": (2, "7540253567121d3c"),
    "published/zenke_split": (40, "c23e6e5030fbcf5b"),
    "quick": (80, "04ffca7c1d591f3b"),
    "speed": (98, "d7cc8e0f5e1a130d"),
    "two_models": (80, "8d843e57cb40cee4"),
}
"""How many runs a shipped suite has, and a digest of their keys in their order."""

LARGE = {
    "scenario": {
        "name": "s",
        "family": "two_models",
        "width": 50,
        "warmup": 0,
        "optimizer": {"name": "sgd", "learning_rate": 0.5, "momentum": 0},
        "fingerprints": {"digits": "digits"},
        "plugin": "0123",
    },
    "strategy": {
        "name": "mine",
        "strategy": "gpm",
        "settings": {"energy": 0.5, "vectors": 4096},
        "dial": "energy",
        "plugin": "4567",
    },
    "seed": 3,
    "device": "cpu",
    "versions": {"harness": 4, "scenario": 2, "strategy": 3},
    "probes": ["distance"],
    "defaults": {"scenario": ["warmup", "optimizer.momentum"], "strategy": ["vectors"]},
}
OLD = {"scenario": {"name": "s"}, "strategy": {"strategy": "wpl"}, "seed": 3, "unknown": [1]}


def test_every_shipped_suite_has_its_keys():
    assert KEYS.keys() == shipped_suites().keys()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data folder with texts that are always the same, since keys of their runs hold them."""
    folder = tmp_path_factory.mktemp("data")
    for place in (folder / "text" / "ptb", folder / "ptb"):
        place.mkdir(parents=True)
        for split in ("train", "valid", "test"):
            (place / f"{split}.txt").write_text(f"a text to {split}\n")
    return folder


@pytest.mark.parametrize("suite", KEYS)
def test_the_keys_of_a_shipped_suite_stay(suite, root):
    # Finished runs are found by them. A change that is meant to change results raises the version
    # of the strategy, the family or the harness, and then these change, too.
    keys = [run.key for run in load_suite(suite).runs("cpu", root)]
    assert (len(keys), hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16]) == KEYS[suite]


def run_of(root, strategy=None, **scenario):
    """The only run of gpm in one scenario."""
    suite = {"suite": "s", "seeds": 1, "scenarios": {"it": {"family": "two_models", **scenario}}}
    (run,) = load_suite(suite | {"strategies": {"gpm": strategy or {}}}).runs("cpu", root)
    return run


@pytest.mark.parametrize(("default", "other"), [
    ({"energy": 0.97}, {"energy": 0.9}),
    ({"energies": [0.97]}, {"energies": [0.9]}),
    ({"vectors": 4096}, {"vectors": 8192}),
])  # fmt: skip
def test_a_setting_at_its_default_is_in_no_key(root, default, other):
    assert run_of(root, default).key == run_of(root).key != run_of(root, other).key


def test_neither_is_one_inside_of_another(root):
    usual = TwoModels().optimizer.model_dump()
    assert run_of(root, optimizer=usual).key == run_of(root).key
    assert "optimizer" not in run_of(root, optimizer=usual).spec.hashed["scenario"]
    slow = run_of(root, optimizer=usual | {"learning_rate": 1e-5})
    assert slow.spec.hashed["scenario"]["optimizer"] == {"learning_rate": 1e-5}
    assert slow.spec.scenario.settings["optimizer"] == usual | {"learning_rate": 1e-5}
    other = run_of(root, optimizer="adam")
    assert other.spec.hashed["scenario"]["optimizer"] == {"name": "adam"}
    assert len({run.key for run in (slow, other, run_of(root))}) == 3


def test_a_version_of_each_kind_is_in_the_key(root, monkeypatch):
    run = run_of(root)
    later = replace(run.facts, version=99)
    for change in (
        lambda patch: patch.setattr(suite_module, "RESULTS_VERSION", 99),
        lambda patch: patch.setattr(TwoModels, "results_version", 99),
        lambda patch: patch.setattr(suite_module.Strategy, "facts", later),
    ):
        with monkeypatch.context() as patch:
            change(patch)
            assert run_of(root).key != run.key
    assert run_of(root).key == run.key


def test_whole_numbers_stay_whole(root):
    suite = {"suite": "s", "seeds": 1, "scenarios": {"two_models": {}}}
    runs = load_suite(suite | {"strategies": {
        "replay": {"memories": [20, 200]}, "ewc": {"strength": 1}, "finetune": {},
    }}).runs("cpu", root)  # fmt: skip
    assert [repr(run.strength) for run in runs] == ["20", "200", "1.0", "None"]
    assert [run.spec.strategy.settings.get("memory") for run in runs] == [20, 200, None, None]
    record = Record(**runs[0].cell(), status="done")
    columns = columns_of(record) | {"strength": 20.0}  # as a column of numbers has it
    parsed = {name: json.loads(columns[name]) for name in JSON_COLUMNS}
    assert repr(record_of(columns | parsed).strength) == "20"


@pytest.mark.parametrize("data", [LARGE, OLD])
def test_a_spec_comes_back_exactly_as_it_was_stored(data):
    text = json.dumps(data)
    spec = Spec(json.loads(text))
    assert json.dumps(spec.data) == text
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert Spec(json.loads(text)) == spec


def test_the_parts_of_a_spec_make_it_again():
    spec = Spec(LARGE)
    again = Spec.of(
        spec.scenario, spec.strategy, seed=3, device="cpu", results_version=4, probes=["distance"]
    )
    assert json.dumps(again.data) == json.dumps(LARGE)
    assert again.key() == spec.key()
    assert (spec.strength, spec.strategy.without_dial.settings) == (0.5, {"vectors": 4096})


def test_what_an_old_spec_does_not_say():
    spec = Spec(OLD)
    assert (spec.strategy.kind, spec.strategy.name, dict(spec.strategy.settings)) == (
        "wpl", "wpl", {},
    )  # fmt: skip
    assert (spec.scenario.plugin, spec.strategy.plugin, spec.versions) == (None, None, {})
    assert (spec.strength, spec.device, spec.probes) == (None, "cpu", ())


def test_settings_are_settings_alone():
    spec = Spec(LARGE)
    assert spec.scenario.settings.keys() == {"family", "width", "warmup", "optimizer"}
    assert spec.scenario.changed.settings == {
        "family": "two_models", "width": 50, "optimizer": {"name": "sgd", "learning_rate": 0.5},
    }  # fmt: skip
    assert spec.strategy.changed.settings == {"energy": 0.5}
    assert spec.circumstances == {"device": "cpu"}


def test_runs_are_paired_whatever_their_strategy_strength_and_probes():
    spec, versions = Spec(LARGE), LARGE["versions"]
    for same in (
        {"strategy": OLD["strategy"]}, {"probes": []}, {"versions": versions | {"strategy": 9}},
        {"scenario": {k: v for k, v in LARGE["scenario"].items() if k != "warmup"}},  # an older one
    ):  # fmt: skip
        assert Spec(LARGE | same).pairing == spec.pairing
    for other in (
        {"seed": 4}, {"device": "cuda"}, {"versions": versions | {"harness": 9}},
        {"versions": versions | {"scenario": 9}}, {"scenario": LARGE["scenario"] | {"width": 9}},
    ):  # fmt: skip
        assert Spec(LARGE | other).pairing != spec.pairing


@pytest.mark.parametrize("data", [[], {}, {"scenario": {}}, {"scenario": {}, "strategy": {}},
                                  {"scenario": {}, "strategy": {"strategy": 3}}])  # fmt: skip
def test_what_is_no_spec_is_refused(data):
    with pytest.raises(ValueError, match="spec"):
        Spec(data)
