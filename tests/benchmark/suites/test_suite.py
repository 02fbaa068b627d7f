"""Suite files: what they expand to, and what every mistake in one is told."""

import re

import pytest
from pydantic import BaseModel

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.suites.loading import load_suite, load_suites

SUITE = """\
suite: example
seeds: 2
scenarios:
  two_models:
    data: digits
    steps: 30
  turned:
    family: two_models
    data: digits
    second_data: rotated
    steps: 30
strategies:
  finetune: {}
  wpl:
    strengths: [1, 1e4]
  mine:
    strategy: ewc
    form: online
"""


@pytest.fixture
def write(tmp_path):
    def write_suite(text=SUITE, **changes):
        path = tmp_path / "suite.yaml"
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        return str(path)

    return write_suite


def runs(path, tmp_path, **options):
    return load_suite(path, **options).runs("cpu", tmp_path)


def keys(found):
    return {run.key for run in found}


def test_a_suite_is_scenarios_times_strategies_times_strengths_times_seeds(write, tmp_path):
    found = runs(write(), tmp_path)
    assert len(found) == len(keys(found)) == 2 * (1 + 2 + 1) * 2
    cells = {(r.scenario, r.strategy, r.strength, r.seed) for r in found}
    assert ("turned", "wpl", 1e4, 1) in cells
    assert ("two_models", "finetune", None, 0) in cells
    assert ("two_models", "mine", 1.0, 0) in cells  # the strategy's default strength


def test_the_spec_holds_every_setting_with_its_default(write, tmp_path):
    run = runs(write(), tmp_path)[-1]
    assert run.spec.data["strategy"] == {
        "name": "mine",
        "strategy": "ewc",
        "settings": run.spec.strategy.settings,
        "dial": "strength",
    }
    assert run.spec.strategy.settings.items() >= {
        "strength": 1.0, "application": "proximal", "samples": 1000, "form": "online",
    }.items()  # fmt: skip
    assert run.spec.hashed["strategy"]["settings"] == {"form": "online"}
    assert run.spec.scenario.settings["optimizer"]["name"] == "rmsprop"
    assert run.spec.scenario.settings["second_data"] == "rotated"


def test_it_holds_none_that_has_no_meaning_beside_the_others(write, tmp_path):
    for network, count in (("cnn", 1), ("reduced_resnet18", 0)):
        run = runs(write(), tmp_path, settings={"scenarios.turned.network": network})[-1]
        assert (run.scenario, run.spec.scenario.settings["network"]) == ("turned", network)
        found = run.spec.scenario.settings.keys() & {"width", "activation", "shared_layers"}
        assert len(found) == 3 * count


def test_changing_one_strategy_changes_its_runs_only(write, tmp_path):
    before = runs(write(), tmp_path)
    after = keys(runs(write(), tmp_path, settings=["strategies.wpl.samples=10"]))
    for run in before:
        assert (run.key in after) == (run.strategy != "wpl")


def test_changing_one_scenario_changes_its_runs_only(write, tmp_path):
    before = runs(write(), tmp_path)
    after = keys(runs(write(), tmp_path, settings=["scenarios.turned.width=20"]))
    for run in before:
        assert (run.key in after) == (run.scenario != "turned")


def test_probes_are_part_of_a_key_only_where_there_are_any(write, tmp_path):
    plain = runs(write(), tmp_path)
    probed = runs(write(**{"seeds: 2": "seeds: 2\nprobes: [refit, distance]"}), tmp_path)
    for one, two in zip(plain, probed, strict=True):
        assert one.key != two.key
        assert two.spec.data == one.spec.data | {"probes": ["distance", "refit"]}
    none = runs(write(**{"seeds: 2": "seeds: 2\nprobes: []"}), tmp_path)
    assert keys(none) == keys(plain)


@pytest.mark.parametrize(
    ("text", "expected"), [("3", (0, 1, 2)), ("3,5,8", (3, 5, 8)), ("7,", (7,)), (",", None)]
)
def test_seeds_are_a_number_or_a_list(write, text, expected):
    if expected is None:
        with pytest.raises(UserError, match="--seeds ,: expected"):
            load_suite(write(), seeds=text)
    else:
        assert load_suite(write(), seeds=text).seeds == expected


def test_part_of_the_optimizer_keeps_the_rest_of_its_default(write):
    suite = load_suite(write(), settings=["scenarios.turned.optimizer.learning_rate=0.5"])
    assert suite.scenarios["turned"].optimizer.name == "rmsprop"
    assert suite.scenarios["turned"].optimizer.learning_rate == 0.5
    assert suite.scenarios["two_models"].optimizer.learning_rate == 0.01


def test_another_optimizer_starts_from_its_own_defaults(write):
    suite = load_suite(write(), settings=["scenarios.turned.optimizer={name: adam}"])
    assert suite.scenarios["turned"].optimizer.learning_rate == 0.001


@pytest.mark.parametrize(
    ("family", "setting", "name"),
    [
        ("split", "learning_rate_schedule", "cosine"),
        ("split", "optimizer", "adam"),
        ("split", "network", "cnn"),
        ("two_models", "optimizer", "rmsprop"),
        ("two_models", "second_optimizer", "sgd"),
        ("architecture_search", "sampler", "fair"),
        ("architecture_search", "supernet", "convolutional_cell"),
    ],
)
def test_a_name_alone_is_the_name_with_the_defaults_beside_it(tmp_path, family, setting, name):
    def key(**settings):
        content = {
            "suite": "t", "seeds": 1, "scenarios": {"s": {"family": family, **settings}},
            "strategies": {"finetune": {}},
        }  # fmt: skip
        return load_suite(content).runs("cpu", tmp_path)[0].key

    assert key(**{setting: name}) == key(**{setting: {"name": name}})
    with pytest.raises(
        UserError, match=rf"s\.{setting}.*unknown (name|network) '{name}x'; did you"
    ):
        key(**{setting: f"{name}x"})


def test_a_setting_that_takes_a_name_takes_it_alone():
    """Of every family: no setting can be a mapping with a name that must be written in full."""
    for name, family in FAMILIES.items():
        needed = {n: "SplitMNIST" for n, f in family.model_fields.items() if f.is_required()}
        for setting, field in family.model_fields.items():
            default = field.get_default(call_default_factory=True)
            if not isinstance(default, BaseModel) or "name" not in type(default).model_fields:
                continue
            made = family.model_validate(needed | {"family": name, setting: default.name})
            assert getattr(made, setting).name == default.name, (name, setting)


def test_epochs_replace_default_steps(write):
    text = SUITE.replace("    second_data: rotated\n    steps: 30", "    epochs: 2")
    suite = load_suite(write(text))
    assert suite.scenarios["turned"].steps is None
    assert suite.scenarios["turned"].steps_for(100) == 4


def test_steps_replace_default_epochs(write):
    text = SUITE.replace("family: two_models", "family: split").replace(
        "    second_data: rotated\n", ""
    )
    suite = load_suite(write(text))
    assert suite.scenarios["turned"].epochs is None
    assert suite.scenarios["turned"].steps_for(100) == 30


MISTAKES = [
    ({"  wpl:\n": "  wlp:\n"}, 14, "strategies.wlp: unknown strategy 'wlp'; did you mean 'wpl'?"),
    ({"strategy: ewc": "strategy: ecw"}, 17, "did you mean 'ewc'?"),
    ({"family: two_models": "family: two_model"}, 8, "did you mean 'two_models'?"),
    ({"  turned:\n    family: two_models\n": "  turned:\n"}, 7, "unknown scenario family 'turned'"),
    ({"second_data: rotated": "second_dta: rotated"}, 10, "did you mean 'second_data'?"),
    ({"second_data: rotated": "second_data: rotatd"}, 10, "rotatd"),
    ({"form: online": "from: online"}, 18, "unknown key 'from'; did you mean 'form'?"),
    ({"form: online": "form: offline"}, 18, "'per_model' or 'online'"),
    ({"form: online": "samples: many"}, 18, "got 'many'"),
    ({"form: online": "samples: 0"}, 18, "greater than or equal to 1"),
    ({"form: online": "seed: 3"}, 18, "the suite's seeds decide it"),
    ({"strengths: [1, 1e4]": "strengths: [1, -1]"}, 15, "greater than or equal to 0"),
    ({"strengths: [1, 1e4]": "strengths: [1, 1]"}, 15, "listed twice"),
    ({"strengths: [1, 1e4]": "strengths: 5"}, 15, "expected a list, got 5; write [5]"),
    ({"finetune: {}": "finetune: {strength: 1}"}, 13, "unknown key 'strength'"),
    ({"suite: example": "sweet: example"}, None, "this key is missing"),
    ({"seeds: 2": "seeds: 0"}, 2, "at least one seed"),
    ({"seeds: 2": "seeds: [1, 1]"}, 2, "different seeds"),
    ({"seeds: 2": "seeds: few"}, 2, "few"),
    (
        {"data: digits\n    steps: 30\n  turned": "data: digit\n    steps: 30\n  turned"},
        5,
        "digits",
    ),
    ({"steps: 30\nstrategies": "steps: 0\nstrategies"}, 11, "greater than or equal to 1"),
    ({"second_data: rotated": "shared_layers: 9"}, None, "only 4 hidden layers"),
    ({"second_data: rotated": "epochs: 3"}, None, "exactly one of steps and epochs"),
    ({"second_data: rotated": "optimizer: {name: adamm}"}, 10, "adam"),
    (
        {"second_data: rotated": "optimizer: {name: sgd, lr: 1}"},
        10,
        "unknown key 'lr'; expected one of: learning_rate, momentum, name, n",
    ),
    ({"second_data: rotated": "optimizer: {momentum: 2}"}, 10, "less than 1"),
    ({"second_data: rotated": "rotation: .inf"}, 10, "finite number"),
    ({"form: online": "strength: .nan"}, 18, "finite number"),
    ({"second_data: rotated": "optimizer: {learning_rate: .inf}"}, 10, "finite number"),
    ({"second_data: rotated": "width: true"}, 10, "width: expected a whole number, got true"),
    ({"second_data: rotated": "validation: true"}, 10, "validation: expected a number, got true"),
    ({"second_data: rotated": "validation: false"}, 10, "validation: expected a number, got false"),
    ({"second_data: rotated": "samples: true"}, 10, "samples: expected a whole number, got true"),
    ({"second_data: rotated": "validation: a"}, 10, "validation: expected a number, got 'a'"),
    ({"second_data: rotated": "curve: {evry: 3}"}, 10, "unknown key 'evry'; did you mean 'every'?"),
    ({"finetune: {}": "'avalanche:LwF': {strengths: [1]}"}, 13, "expected one of: arguments"),
    ({"second_data: rotated": "data: mnist"}, 10, "duplicate key 'data' (first in line"),
    ({"finetune: {}": "finetune: {"}, None, "not valid YAML"),
    ({"seeds: 2": "probes: [refit, distanse]"}, 2, "probes.1: unknown probe 'distanse'; did you m"),
    ({"seeds: 2": "probes: refit"}, 2, "expected a list, got 'refit'; write ['refit']"),
    ({"seeds: 2": "probes: [1]"}, 2, "expected text, got 1"),
    ({"seeds: 2": "seeds: true"}, 2, "seeds: expected how many seeds (5) or a list of them"),
    ({"seeds: 2": "seeds: '5'"}, 2, "got '5'"),
    ({"seeds: 2": "seeds: null"}, 2, "got null"),
    ({"seeds: 2": "seeds: [-1]"}, 2, "seeds.0: a seed is a whole number from 0 to 2^63 - 1, got"),
    ({"seeds: 2": "seeds: [3, true]"}, 2, "seeds.1: a seed is a whole number"),
    ({"seeds: 2": "seeds:\n  - 3\n  - 3"}, 4, "seeds.1: expected different seeds, got 3 twice"),
    ({"seeds: 2": f"seeds: [{2**63}]"}, 2, "seeds.0: a seed is"),
    ({"seeds: 2": "seeds: 1000000000"}, 2, "for the single seed 1000000000: [1000000000]"),
    (
        {"  wpl:\n    strengths: [1, 1e4]": "  wpl: 5"},
        14,
        "strategies.wpl: expected a mapping of n",
    ),
    ({"finetune: {}": "finetune: []"}, 13, "strategies.finetune: expected a mapping of names to"),
    ({"  two_models:\n    data: digits\n    steps: 30": "  two_models: 5"}, 4, "a mapping"),
    ({"finetune: {}": "5: {}"}, 13, "expected a name, got 5; write '5'"),
    ({"finetune: {}": "null: {}"}, 13, "expected a name, got null; write 'null'"),
    ({"finetune: {}": "finetune: {1.5: 3}"}, 13, "expected a name, got 1.5; write '1.5'"),
    ({"seeds: 2": "seeds: 2\ntrue: 3"}, 3, "expected a name, got true; write 'true'"),
    ({"strengths: [1, 1e4]": "strengths: [true]"}, 15, "strengths.0: expected a number, got true"),
    ({"strengths: [1, 1e4]": "strengths: null"}, 15, "expected a list, got null"),
    ({"strengths: [1, 1e4]": "strengths: true"}, 15, "strengths: expected a list, got true"),
    ({"strengths: [1, 1e4]": "strengths: []"}, 15, "expected 1 or more entries, got []"),
    ({"strengths: [1, 1e4]": "strength: true"}, 15, "strength: expected a number, got true"),
    ({"second_data: rotated": "optimizer: {learning_rate: true}"}, 10, "expected a number"),
    ({"second_data: rotated": "optimizer: 5"}, 10, "optimizer: expected a mapping of names"),
    ({"second_data: rotated": "optimizer: {name: adamm}"}, 10, "optimizer.name: unknown name 'ada"),
    ({"second_data: rotated": "optimizer: {name: adam, betas: [0.9]}"}, 10, "betas: too few entr"),
    ({"second_data: rotated": "second_optimizer: {momentum: 0}"}, 10, "name: this key is missing"),
    (
        {"second_data: rotated": "second_optimizer: {name: sgd, lr: 1}"},
        10,
        "second_optimizer.lr: unknown key 'lr'; expected one of: learning_rate, momentum, name, n",
    ),
    ({"second_data: rotated": "hidden_layers: [1, 2, 3]"}, 10, "expected at most 2 entries"),
    ({"second_data: rotated": "width: 1e2"}, 10, "got '1e2'; write 100"),
    ({"second_data: rotated": "width: 99999999999999999999"}, 10, "less than or equal to 21474"),
    ({"second_data: rotated": "shared_layers: 9"}, 10, "shared_layers: shared_layers is 9"),
    ({"family: two_models": "family: [two_models]"}, 8, "expected the name of a family, got ['t"),
    ({"strategy: ewc": "strategy: [ewc]"}, 17, "expected the name of a strategy, got ['ewc']"),
    (
        {"strategy: ewc\n    form: online": "strategy: avalanche:EWC\n    arguments: {a: .nan}"},
        18,
        "arguments.a: expected a finite number",
    ),
    (
        {
            "strategy: ewc\n    form: online": "strategy: avalanche:EWC\n    arguments:\n"
            "      a: [2020-01-01]"
        },
        19,
        "arguments.a.0: expected a finite number, a text in quotes, true, false, null",
    ),
    ({"finetune: {}": "finetune: &it {a: *it}"}, 13, "the anchor here refers to itself"),
    ({"finetune: {}": "finetune: *nothing"}, 13, "undefined alias 'nothing'"),
    ({"finetune: {}": "? [a]\n  : {}"}, 13, "unhashable key"),
    ({"finetune: {}": "\tfinetune: {}"}, 13, "character '\\t' that cannot start any token"),
    ({"finetune: {}": "fine\x01tune: {}"}, 13, "the character '\\x01' is not allowed"),
    ({"finetune: {}": '"fine\\ntune": {}'}, 13, r"strategies.'fine\ntune': unknown strategy"),
    ({"steps: 30\n  turned": "steps: 30\n    <<: {widht: 3}\n  turned"}, 7, "unknown key 'widht'"),
    (
        {
            "  two_models:\n    data": "  two_models: &it\n    widht: 3\n    data",
            "family: two_models": "<<: *it",
        },
        5,
        "unknown key 'widht'; did you mean 'width'?",
    ),
    ({"finetune: {}": "<<: {a: 1}\n  <<: {b: 2}"}, 14, "duplicate key '<<'"),
    ({"seeds: 2": "seeds: 2\n---"}, 3, "another document"),
]


@pytest.mark.parametrize(("changes", "line", "message"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_a_mistake_is_told_with_file_line_and_remedy(write, changes, line, message):
    path = write(**changes)
    with pytest.raises(UserError) as caught:
        load_suite(path)
    told = str(caught.value)
    assert path in told
    assert message in told
    assert "\n" not in told
    if line is not None:
        assert f"line {line}:" in told


FILES = {
    b"- a\n- b\n": "expected a mapping with the keys suite, scenarios and strategies, got list",
    b"": "got an empty file",
    b"# nothing\n": "got an empty file",
    b"suite: a\nx: \xe4\n": "line 2: not UTF-8 text: the byte 0xe4",
    "suite: a".encode("utf-16"): "line 1: not UTF-8 text",
    b"suite: " + b"[" * 3000 + b"]" * 3000: "nested too deeply",
    b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"a%d: &a%d [%s]\n" % (i, i, b"*a%d," % (i - 1) * 10) for i in range(1, 7)): (
        "too large"
    ),
}


@pytest.mark.parametrize("content", FILES, ids=FILES.values())
def test_what_is_no_suite_is_told(tmp_path, content):
    path = tmp_path / "suite.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(FILES[content])) as caught:
        load_suite(str(path))
    assert str(path) in str(caught.value)


def test_merge_keys_and_byte_order_marks_are_read(tmp_path):
    path = tmp_path / "suite.yaml"
    merged = SUITE.replace("  two_models:", "  two_models: &it").replace(
        "    family: two_models\n    data: digits\n    second_data: rotated\n    steps: 30",
        "    <<: *it\n    family: two_models\n    second_data: rotated",
    )
    path.write_text(merged, "utf-8-sig")
    (tmp_path / "plain.yaml").write_text(SUITE)
    plain = runs(str(tmp_path / "plain.yaml"), tmp_path)
    assert keys(runs(str(path), tmp_path)) == keys(plain)


def test_a_missing_file_is_told_as_one():
    with pytest.raises(UserError, match="this suite file does not exist"):
        load_suite("nowhere.yaml")


SET_MISTAKES = [
    ("scenarios.turnd.width=3", "did you mean 'turned'?"),
    ("scenarios.turned.widht=3", "did you mean 'width'?"),
    ("scenarios.turned.width=wide", "got 'wide'"),
    ("scenarios.turned.width", "expected PATH=VALUE"),
    ("scenarios.turned.width=[1", "not a YAML value"),
    ("seedz=3", "did you mean 'seeds'?"),
    ("scenarios.turned.data.name=3", "no settings inside"),
    ("scenarios=5", "expected scenarios.NAME.KEY=VALUE"),
    ("strategies.wpl=5", "strategies.wpl: expected a mapping of names to values, got 5"),
    ("strategies.wpl.strengths=5", "expected a list, got 5; write [5]"),
    ("seeds=true", "got true"),
]


@pytest.mark.parametrize(("assignment", "message"), SET_MISTAKES)
def test_a_mistake_in_set_names_the_option(write, assignment, message):
    with pytest.raises(UserError) as caught:
        load_suite(write(), settings=[assignment])
    assert "--set" in str(caught.value)
    assert message in str(caught.value)


def test_the_seed_of_a_large_number_is_taken_as_advised(write):
    with pytest.raises(UserError, match="too many") as caught:
        load_suite(write(), seeds="20000")
    (advised,) = re.findall(r"--seeds (\S+)$", str(caught.value))
    assert load_suite(write(), seeds=advised).seeds == (20000,)
    for changes in ({"seeds": str(2**63)}, {"settings": [f"seeds={2**63}"]}):
        with pytest.raises(UserError, match=r"seeds are too many; expected at most 10000$"):
            load_suite(write(), **changes)


def test_yaml_cannot_build_objects(write):
    with pytest.raises(UserError, match="not valid YAML"):
        load_suite(write("suite: !!python/object/apply:os.getcwd []\n"))


# Several suites


def several():
    """Two suites that have one strategy and no scenario in common."""
    one = {
        "suite": "one",
        "scenarios": {"turned": {"family": "two_models", "data": "digits", "steps": 2}},
        "strategies": {"finetune": {}, "wpl": {}},
    }
    two = {
        "suite": "two",
        "scenarios": {"split": {"data": "digits"}},
        "strategies": {"finetune": {}, "si": {}},
    }
    return [one, two]


def test_what_is_chosen_holds_where_it_exists():
    one, two = load_suites(several(), strategies=["wpl", "finetune", "si"])
    assert list(one.strategies) == ["finetune", "wpl"]
    assert list(two.strategies) == ["finetune", "si"]
    (alone,) = load_suites(several(), strategies=["si"])
    assert (alone.name, list(alone.strategies)) == ("two", ["si"])


def test_what_is_set_holds_where_it_exists():
    settings = ["scenarios.turned.width=7", "strategies.si.strengths=[3]", "seeds=2"]
    one, two = load_suites(several(), settings=settings)
    assert one.scenarios["turned"].width == 7
    assert two.strategies["si"].strengths == (3.0,)
    assert one.seeds == two.seeds == (0, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategies": ["ssi"]}, "no suite has a strategy 'ssi'; did you mean 'si'"),
        (
            {"settings": ["scenarios.spilt.width=3"]},
            "--set scenarios.spilt.width=3: no 'spilt' in the scenarios of any suite; did you",
        ),
        ({"settings": ["scenarios.turned.widht=3"]}, "--set: scenarios.turned.widht.*'width'"),
    ],
    ids=str,
)
def test_a_name_that_no_suite_has_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        load_suites(several(), **options)


def test_swept_values_are_checked_beside_the_other_settings():
    strategy = {"strategy": "supsup", "rule": "threshold", "densities": [0.1, 0.5]}
    with pytest.raises(UserError, match="density has no effect with rule: threshold"):
        load_suite({"suite": "x", "scenarios": {"split": {}}, "strategies": {"s": strategy}})
