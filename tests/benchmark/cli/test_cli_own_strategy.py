"""From ``palimpsest new`` over ``check`` to a run: the way of a strategy of one's own."""

import json
import re
import sys

import pytest
import yaml
from at_length import at_length
from command_line import command

from palimpsest.benchmark.kit import check
from palimpsest.benchmark.kit.check import PROPERTIES
from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.plugins.source import MODULE_PREFIX
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.strategies.base.catalogue import STRATEGIES


@pytest.fixture(autouse=True)
def as_shipped(tmp_path, monkeypatch, registries):
    """Every test is in an empty folder, and starts and ends with what ships."""
    monkeypatch.chdir(tmp_path)
    with registries():
        yield


@pytest.fixture
def ask(monkeypatch):
    """Let the kit ask of some properties alone."""

    def only(*names):
        wanted = tuple(each for each in PROPERTIES if each.name in names)
        monkeypatch.setattr(check, "PROPERTIES", wanted)

    return only


LIKE = [None, "migu", "supsup", "gpm", "td_vcl", "task_arithmetic"]


def new(like):
    return command("new", "strategy", "far_pull", *(["--like", like] if like else []))


@pytest.mark.thorough
@pytest.mark.parametrize("like", LIKE)
def test_what_new_writes_is_sound(tmp_path, capsys, like):
    assert new(like) == 0
    assert "palimpsest check far_pull.py" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {
        "far_pull.py",
        "test_far_pull.py",
        "far_pull.yaml",
    }
    for path in tmp_path.iterdir():
        assert not re.search("my_[a-z]|My[A-Z]", path.read_text())
    assert command("check", "far_pull.py", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["property"] for row in rows] == [each.name for each in PROPERTIES]
    assert {row["strategy"] for row in rows} == {"far_pull"}
    assert sum(row["outcome"] == "pass" for row in rows) >= 10
    assert not [row for row in rows if row["outcome"] == "fail"]


@pytest.mark.parametrize("there", [True, False])
def test_new_says_what_its_test_needs(monkeypatch, capsys, there):
    """The wheel does not bring pytest."""
    spec = object() if there else None
    monkeypatch.setattr("palimpsest.benchmark.cli.commands.new.find_spec", {"pytest": spec}.get)
    assert command("new", "strategy", "far_pull") == 0
    out = capsys.readouterr().out
    assert "python -m pytest test_far_pull.py" in out
    assert ("pip install pytest" in out) is not there


def test_the_test_that_new_writes_passes(monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])  # where pytest puts the folder
    assert command("new", "strategy", "far_pull") == 0
    # The properties themselves are asked by the test above.
    some = ["-k", "deterministic or unused or batch"]
    code = pytest.main(["-q", "-p", "no:cacheprovider", "test_far_pull.py", *some])
    out = capsys.readouterr().out
    assert sys.modules.pop("test_far_pull")
    assert code == 0, out
    assert "3 passed" in out


@pytest.mark.parametrize("like", STRATEGIES)
def test_a_copy_of_any_strategy_is_one_of_its_own(tmp_path, like):
    """With the same facts but for its name, and a suite that takes it, if not one of searches."""
    assert new(like) == 0
    load_files(["far_pull.py"])
    own, known = STRATEGIES["far_pull"], STRATEGIES[like]
    assert own.__name__ == "FarPull" and own.__module__ == f"{MODULE_PREFIX}far_pull"
    alike = {**known.facts.data, "name": "far_pull", "role": "contender", "source": "my own"}
    alike |= {"color": None, "same_with_two": None, "summary": own.facts.summary}
    assert own.facts.data == alike
    assert own.Settings.model_fields.keys() == known.Settings.model_fields.keys()
    for_searches = known.facts.searches or bool(known.Settings().facts(known.facts).needs.edges)
    assert (tmp_path / "far_pull.yaml").exists() is not for_searches
    if not for_searches:
        assert load_suite("far_pull.yaml").strategies["far_pull"].dial == own.facts.dial


@pytest.mark.parametrize("like", at_length(LIKE, {*LIKE} - {None}))
def test_the_suite_that_new_writes_runs(tmp_path, capsys, like):
    assert new(like) == 0
    content = yaml.safe_load((tmp_path / "far_pull.yaml").read_text())
    assert {"finetune", "ewc", "si", "wpl", "far_pull"} <= set(content["strategies"])
    short = ("--set", "scenarios.turned_digits.steps=20", "--seeds", 1, "--workers", 1)
    only = ("--strategies", "finetune,far_pull", "--plugin", "far_pull.py")
    capsys.readouterr()
    assert command("run", "far_pull.yaml", *only, *short, "--json") == 0
    runs = json.loads(capsys.readouterr().out)
    assert {run["status"] for run in runs} == {"done"}
    stability = {run["strength"]: run["metrics"]["stability"] for run in runs}
    assert len(set(stability.values())) > 2  # the strengths differ, and from fine-tuning


def test_the_suite_needs_the_plugin():
    assert command("new", "strategy", "far_pull") == 0
    with pytest.raises(Exception, match="unknown strategy 'far_pull'"):
        load_suite("far_pull.yaml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("far --like mass", "--like mass: no such strategy; did you mean 'mas'?"),
        ("Far", "is not a valid strategy name"),
        ("far-pull", "is not a valid strategy name"),
        ("../far", "is not a valid strategy name"),
        ("class", "is not a valid strategy name"),
        ("wpl", "already has a strategy 'wpl'"),
        ("torch", "would hide Python's module 'torch'"),
        ("taken", "test_taken.py already exists"),
    ],
)
def test_new_refuses(tmp_path, capsys, name, message):
    (tmp_path / "test_taken.py").write_text("mine")
    assert command("new", "strategy", *name.split()) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["test_taken.py"]
    assert (tmp_path / "test_taken.py").read_text() == "mine"


def test_a_property_that_fails_is_told_with_its_cause(ask, capsys):
    ask("protects the earlier model")
    assert command("check", "avalanche:SynapticIntelligence") == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "protects the earlier model FAIL strength 1e+08 gives the weights of fine-tuning" in out
    assert "Usual cause: Anchors or importances are views of the live weights" in out


def test_settings_are_checked_too(ask, capsys):
    ask("a huge strength holds")
    assert command("check", "ewc", "--set", "application=gradient", "--set", "decay=0.5") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 property does not apply (--json says why): a huge strength holds ewc: 0 hold" in out
    assert command("check", "ewc", "--set", "application=gradient", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["detail"] == "it is added to the gradient, as asked, and diverges"


def own_strategy(path, *lines):
    """Write the template of a penalty with other lines in ``estimate``."""
    assert command("new", "strategy", "far_pull") == 0
    source = (path / "far_pull.py").read_text().splitlines()
    (at,) = (n for n, text in enumerate(source) if text.startswith("        return {name: p."))
    source[at:at] = [f"        {line}" for line in lines]
    (path / "far_pull.py").write_text("\n".join(source))
    return at + len(lines)


def test_an_exception_is_told_once_with_the_users_line_and_without_a_cause(tmp_path, ask, capsys):
    ask("protects the earlier model", "deterministic", "nothing is forgotten", "hooks are called")
    call = "strategy.model(strategy.mb_x, 1, 2)"
    line = own_strategy(tmp_path, call)
    capsys.readouterr()
    assert command("check", "far_pull.py") == 1
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("it raised TypeError") == 1
    assert out.count(f"(far_pull.py, line {line})") == 1
    assert "deterministic FAIL the same as: protects the earlier model" in out
    assert "Usual cause" not in out
    assert "torch" not in out
    told = "2 properties do not apply (--json says why): hooks are called, nothing is forgotten"
    assert told in out
    assert "far_pull: 0 hold, 2 fail" in out


WEAK = '''
import torch
from avalanche.training.plugins import SupervisedPlugin

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import StrategySettings


class Settings(StrategySettings):
    share: float = 0.95


class Slower(SupervisedPlugin):
    """Goes only a share of each step once a model was trained."""

    facts = Facts("slower", "a weak method", "mine")
    Settings = Settings

    def __init__(self, share=0.95):
        super().__init__()
        self.share, self.models = share, 0

    def after_training_exp(self, strategy, **_):
        self.models += 1

    def before_update(self, strategy, **_):
        self.before = [p.detach().clone() for p in strategy.model.parameters()]

    @torch.no_grad()
    def after_update(self, strategy, **_):
        for p, before in zip(strategy.model.parameters(), self.before):
            if self.models and p.grad is not None:
                p.copy_(before + self.share * (p - before))
'''


def test_a_weak_method_is_a_remark_and_no_failure(tmp_path, ask, capsys):
    ask("protects the earlier model", "deterministic")
    (tmp_path / "slower.py").write_text(WEAK)
    assert command("check", "slower.py") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "protects the earlier model weak the first model's loss changes by +0." in out
    assert "Usual cause" not in out
    assert "slower: 1 hold, 1 is weak, 0 fail" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wlp"], "did you mean 'wpl'?"),
        (["avalanche:LwG"], "Avalanche has no supervised strategy 'LwG'"),
        (["no.py"], "this plugin file does not exist"),
        (["wpl", "--set", "momentun=1"], "--set: momentun: unknown key 'momentun'; did you mean"),
        (["wpl", "--set", "momentum=7"], "--set: momentum: input should be less than 1"),
        (["wpl", "--set", "momentum"], "expected NAME=VALUE"),
        (["avalanche:EWC", "--set", "mod=online"], "did you mean 'mode'?"),
        (["avalanche:DER"], "calls the network without task labels; the strategy der is"),
        (["avalanche:GEM"], "missing under arguments: patterns_per_exp"),
    ],
    ids=str,
)
def test_a_mistake_exits_with_2(capsys, arguments, message):
    assert command("check", *arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
