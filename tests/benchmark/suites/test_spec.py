"""A run's spec: its keys stay, it comes back as it was stored, and it is read in one place."""

import hashlib
import json
import pickle

import pytest

from palimpsest.benchmark.suites.file import shipped_suites
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.suites.spec import ScenarioSpec, Spec, StrategySpec
from palimpsest.benchmark.suites.suite import (
    FORGETTING_MEMORY_VERSION,
    LAYERS_OF_SEVERAL_VERSION,
    RESULTS_VERSION,
    SEEN_OUTPUTS_VERSION,
    _results_version,
)

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
        "optimizer": {"name": "sgd"},
        "fingerprints": {"digits": "digits"},
        "plugin": "0123",
    },
    "strategy": {"name": "mine", "strategy": "ewc", "settings": {"decay": 1.0}, "plugin": "4567"},
    "strength": 10.0,
    "seed": 3,
    "device": "cpu",
    "results_version": 3,
    "probes": ["distance"],
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
    # Finished runs are found by them. A change that is meant to change results raises
    # RESULTS_VERSION, and then these change, too.
    keys = [run.key for run in load_suite(suite).runs("cpu", root)]
    assert (len(keys), hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16]) == KEYS[suite]


def test_a_later_setting_is_in_a_key_only_where_it_is_another_value(root):
    def keys(settings):
        suite = {"suite": "s", "seeds": 1, "scenarios": {"it": {"family": "two_models"}}}
        found = load_suite(suite | {"strategies": {"gpm": settings}}).runs("cpu", root)
        return [run.key for run in found]

    assert keys({"vectors": 4096}) == keys({})
    assert not {*keys({"vectors": 8192})} & {*keys({})}


NETWORK = {"network": "reduced_resnet18", "data": "digits"}


@pytest.mark.parametrize(("scenario", "version"), [
    ({"family": "two_models"}, RESULTS_VERSION),
    ({"family": "two_models", **NETWORK}, LAYERS_OF_SEVERAL_VERSION),
    ({"family": "two_models", **NETWORK, "curve": {"every": 0}}, RESULTS_VERSION),
    ({"family": "split", "incremental": "task", **NETWORK}, LAYERS_OF_SEVERAL_VERSION),
    ({"family": "split", "incremental": "domain", **NETWORK}, RESULTS_VERSION),
    ({"family": "split", "incremental": "class", "outputs": "seen"}, SEEN_OUTPUTS_VERSION),
    ({"family": "two_models", "data": "mnist", "augment": {"flip": True}}, RESULTS_VERSION),
    (
        {"family": "two_models", "data": "mnist", "second_data": "fashion_mnist",
         "augment": {"crop": 2}},
        LAYERS_OF_SEVERAL_VERSION,
    ),
])  # fmt: skip
def test_runs_whose_results_a_repair_changed_have_a_version_of_their_own(scenario, version):
    assert version_of(scenario, "joint") == version


MEMORY = {"memory": 60}


@pytest.mark.parametrize(("strategy", "settings", "scenario", "version"), [
    ("n_step_kl", {"posteriors": 2, **MEMORY}, {"family": "two_models"}, RESULTS_VERSION),
    ("n_step_kl", {"posteriors": 1, **MEMORY}, {"family": "two_models"}, RESULTS_VERSION),
    ("n_step_kl", MEMORY, {"family": "split"}, FORGETTING_MEMORY_VERSION),
    ("n_step_kl", {}, {"family": "split"}, RESULTS_VERSION),
    ("n_step_kl", MEMORY, {"family": "permuted", "experiences": 4}, RESULTS_VERSION),
    ("n_step_kl", MEMORY, {"family": "model_sequence"}, FORGETTING_MEMORY_VERSION),
    ("n_step_kl", MEMORY, {"family": "model_sequence", "models": 4}, RESULTS_VERSION),
    ("n_step_kl", MEMORY, {"family": "split", "incremental": "class", "outputs": "seen"},
     FORGETTING_MEMORY_VERSION),
    ("td_vcl", {"decay": 0, **MEMORY}, {"family": "two_models"}, FORGETTING_MEMORY_VERSION),
    ("td_vcl", {"decay": 0.1, **MEMORY}, {"family": "two_models"}, RESULTS_VERSION),
    ("replay", MEMORY, {"family": "split"}, RESULTS_VERSION),
])  # fmt: skip
def test_so_have_those_of_methods_that_a_repair_changed(strategy, settings, scenario, version):
    assert version_of(scenario, strategy, settings) == version


def version_of(scenario, strategy, settings=None):
    suite = {"suite": "s", "seeds": 1, "scenarios": {"it": scenario}}
    found = load_suite(suite | {"strategies": {strategy: settings or {}}})
    return _results_version(found.scenarios["it"], found.strategies[strategy].settings)


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
        ScenarioSpec(
            "s", {"family": "two_models", "width": 50, "optimizer": {"name": "sgd"}},
            {"digits": "digits"}, "0123",
        ),
        StrategySpec("mine", "ewc", {"decay": 1.0}, "4567"),
        strength=10.0, seed=3, device="cpu", results_version=3, probes=["distance"],
    )  # fmt: skip
    assert json.dumps(again.data) == json.dumps(LARGE)
    assert (again.scenario, again.strategy) == (spec.scenario, spec.strategy)
    assert again.key() == spec.key()


def test_what_an_old_spec_does_not_say():
    spec = Spec(OLD)
    assert (spec.strategy.kind, spec.strategy.name, dict(spec.strategy.settings)) == (
        "wpl", "wpl", {},
    )  # fmt: skip
    assert (spec.scenario.plugin, spec.strategy.plugin, spec.results_version) == (None,) * 3
    assert (spec.strength, spec.device, spec.probes) == (None, "cpu", ())


def test_settings_are_settings_alone():
    assert Spec(LARGE).scenario.settings.keys() == {"family", "width", "optimizer"}
    assert Spec(LARGE).circumstances == {"device": "cpu"}


def test_runs_are_paired_whatever_their_strategy_strength_and_probes():
    other = Spec(LARGE | {"strategy": OLD["strategy"], "strength": None, "probes": []})
    assert other.pairing == Spec(LARGE).pairing
    later = Spec(LARGE | {"results_version": 4})  # of what else one installation makes
    assert later.pairing == Spec(LARGE).pairing
    for name, value in (("seed", 4), ("device", "cuda")):
        assert Spec(LARGE | {name: value}).pairing != Spec(LARGE).pairing


@pytest.mark.parametrize("data", [[], {}, {"scenario": {}}, {"scenario": {}, "strategy": {}},
                                  {"scenario": {}, "strategy": {"strategy": 3}}])  # fmt: skip
def test_what_is_no_spec_is_refused(data):
    with pytest.raises(ValueError, match="spec"):
        Spec(data)
