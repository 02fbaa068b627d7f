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
    "cifar": (162, "92fab6d33e4d2ea7"),
    "methods/isolation_cifar": (450, "e7cd17c8cd21c14a"),
    "methods/isolation_inside": (100, "f94cafcb004883ce"),
    "methods/isolation_permuted": (450, "972d8a0fe788efff"),
    "methods/isolation_pool": (450, "a41ede8bc66a04b7"),
    "methods/isolation_same": (630, "bf9dbdfb7d624401"),
    "methods/isolation_split": (1180, "7642b040a3bc2a3d"),
    "methods/isolation_turned": (640, "abff176bcd261d5c"),
    "methods/merging": (1890, "3d2779ebb70646ad"),
    "methods/merging_inside": (200, "731ae728cc32e749"),
    "methods/merging_permuted": (560, "31397c7b849fc54c"),
    "methods/merging_pool_permuted": (380, "cbb69e8e841f4fbd"),
    "methods/merging_pool_rotated": (380, "e5c8adad89a4a795"),
    "methods/merging_rotated": (560, "549c76f10d6e9eb1"),
    "methods/posteriors": (480, "25d071f02b51369e"),
    "methods/posteriors_classic": (510, "6426ba46dc1470ca"),
    "methods/posteriors_pool": (210, "3aad6c80e1abde72"),
    "methods/posteriors_same": (200, "ea9433b18387288e"),
    "methods/posteriors_sgd": (90, "b60594d5066258f1"),
    "nas/cifar_schedules": (16, "0d93bfa182c92b9b"),
    "nas/cifar_search": (56, "985ad9a518163add"),
    "nas/cifar_truth": (3, "dbcf175412612218"),
    "nas/convolutional_schedules": (72, "9bb308b522033ca5"),
    "nas/convolutional_search": (84, "af22cc634e291fe7"),
    "nas/convolutional_truth": (3, "a89f571d9dc2435e"),
    "nas/convolutional_warm": (168, "5f6f79e977ffd63c"),
    "nas/convolutional_warm_controls": (84, "daa7d41832115bc1"),
    "nas/recurrent_constant": (48, "6629901a2be006a3"),
    "nas/recurrent_controller": (48, "ce5847854e44db14"),
    "nas/recurrent_schedules": (48, "6e7c38c5a4510abc"),
    "nas/recurrent_search": (96, "4297490fab016ef5"),
    "nas/recurrent_truth": (3, "daf8792be4adb9fc"),
    "nas/recurrent_warm": (192, "fb2b569d1cd8402c"),
    "nas/recurrent_warm_controls": (84, "8566dc67afa67f42"),
    "nas_paper/enas_convolutional": (15, "be879f1d40001bb9"),
    "nas_paper/enas_recurrent": (15, "07ee49ab96affd5a"),
    "paper/applications": (120, "e403595647f0fdbf"),
    "paper/cold_start": (350, "b43fc488ca08af13"),
    "paper/convergence": (520, "a9657d2cd623b980"),
    "paper/figure3": (560, "39aad5aadd7dc714"),
    "paper/figure3_priors": (240, "7b52bfba37fa2d1b"),
    "paper/fisher": (240, "4ceca6096074bbd6"),
    "paper/many_models": (216, "0301a45372c4b76a"),
    "paper/protection": (600, "387ac3fd7d8739b5"),
    "paper/regimes": (234, "1fee3c095ab452e1"),
    "paper/schur": (108, "ecd431508bf8f29c"),
    "paper/shared_layers": (240, "735f1799c58d87ea"),
    "paper/strength": (414, "8705da9fcccae1b0"),
    "methods/which_class": (900, "26888967c97cbc0e"),
    "methods/which_task": (1330, "5671637fa49a4362"),
    "methods/which_ten": (1450, "88a1f046c23f3adf"),
    "methods/which_two": (1420, "ae961042572c74b9"),
    "published/avalanche_permuted_ewc": (30, "a4e3c377fa74be57"),
    "published/avalanche_permuted_si": (25, "2461fe69ab8fcddc"),
    "published/avalanche_permuted_trained": (80, "4fc03d17bf117ada"),
    "published/avalanche_split": (20, "863ebcd7b145d77a"),
    "published/fisher_2025": (2100, "bedb36db27c7c313"),
    "published/permuted_mnist_class": (120, "49cc9a9558c86f1f"),
    "published/permuted_mnist_domain": (140, "32704854e58a8028"),
    "published/permuted_mnist_domain_smaller": (12, "60adbc22b11374dc"),
    "published/permuted_mnist_domain_unpadded": (5, "a01323627aa0dcf9"),
    "published/permuted_mnist_task": (120, "ee33f396bd7b189f"),
    "published/permuted_mnist_task_unpadded": (5, "085619dafa0cb1a9"),
    "published/split_mnist_2022_class": (20, "b59b852b283c6677"),
    "published/split_mnist_2022_domain": (40, "8152ccd038af9917"),
    "published/split_mnist_all_outputs": (10, "0db3e1048c2569a4"),
    "published/split_mnist_class": (160, "54b9ee5c46283c37"),
    "published/split_mnist_domain": (160, "3467e4bed2d3e246"),
    "published/split_mnist_protocol": (30, "b083a9dd6a95aded"),
    "published/split_mnist_task": (180, "a874e6c8cbaf3af5"),
    "published/supsup_permuted": (20, "0a0bd046402318b9"),
    "published/td_vcl_permuted": (25, "377d32845f751a3b"),
    "published/td_vcl_permuted_betas": (14, "d9271723606dda27"),
    "published/zenke_permuted": (2, "4c8a689436ef388b"),
    "published/zenke_split": (40, "bc08c0c9d90e1dfd"),
    "quick": (80, "3364da9155f42a3b"),
    "speed": (98, "c44c4e162d3dd642"),
    "two_models": (80, "e591182a3efaefb8"),
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
def test_a_shipped_suite_is_valid_and_its_keys_stay(suite, root):
    # Finished runs are found by them. A change that is meant to change results raises the version
    # of the strategy, the family or the harness, and then these change, too.
    loaded = load_suite(suite)
    assert loaded.name == suite.split("/")[-1] and loaded.description
    keys = [run.key for run in loaded.runs("cpu", root)]
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
    assert run_of(root, default).spec.hashed["strategy"]["settings"] == {}
    assert len(run_of(root, other).spec.hashed["strategy"]["settings"]) == 1


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
