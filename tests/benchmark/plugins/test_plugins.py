"""Strategies and scenarios from plugin files and packages, and the messages of broken ones."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from command_line import command

from palimpsest.benchmark import plugins
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.plugins import load_again, load_files, load_metrics, load_packages, loaded
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.plugins.source import MODULE_PREFIX
from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.reports.runs.suite_text import suite_files
from palimpsest.strategies.base.catalogue import STRATEGIES

LIGHT = """\
from pydantic import Field

from palimpsest.strategies.base.facts import STRENGTH, Facts
from palimpsest.strategies.base.settings import StrategySettings


class PullSettings(StrategySettings):
    strength: float = 2.0
    reach: int = Field(3, description="How far.")


class Pull:
    facts = Facts("pull", "pulls", "made up", STRENGTH)
    Settings = PullSettings

    def __init__(self, strength, reach):
        self.strength = strength
"""

SCENARIO = """\
from typing import Literal

from palimpsest.benchmark.scenarios.families.two_models import TwoModels


class Small(TwoModels):
    \"\"\"Two small models.\"\"\"

    family: Literal["small"] = "small"
    width: int = 4


SCENARIOS = [Small]
"""

SUITE = """\
suite: mine
seeds: 1
scenarios:
  two_models: {data: digits, steps: 4, width: 4, samples: 100, curve: {every: 0}}
strategies:
  finetune: {}
  pull: {strengths: [1, 2]}
"""


@pytest.fixture(autouse=True)
def as_shipped(registries):
    """Every test starts and ends with what ships."""
    with registries():
        load_packages.cache_clear()
        load_metrics.cache_clear()
        yield
    load_packages.cache_clear()
    load_metrics.cache_clear()


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def to(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return to


def keys(suite, root):
    return {(r.strategy, r.strength): r.key for r in load_suite(str(suite)).runs("cpu", root)}


def test_a_suite_can_name_what_a_file_adds(write, tmp_path):
    load_files([write("pull.py", LIGHT), write("small.py", SCENARIO)])
    suite = write("s.yaml", SUITE.replace("two_models:", "small:").replace("width: 4, ", ""))
    run = load_suite(str(suite)).runs("cpu", tmp_path)[-1]
    assert run.spec.strategy.settings == {"strength": 2.0, "reach": 3}
    assert run.spec.scenario.family == "small"
    assert run.spec.scenario.settings["width"] == 4


def test_the_content_belongs_to_the_keys_of_its_own_runs_only(write, tmp_path):
    file, suite = write("pull.py", LIGHT), write("s.yaml", SUITE)
    load_files([file])
    before = keys(suite, tmp_path)
    load_files([write("pull.py", LIGHT.replace("self.strength = strength", "self.reach = reach"))])
    after = keys(suite, tmp_path)
    assert before.keys() == after.keys()
    assert {cell for cell in before if before[cell] == after[cell]} == {("finetune", None)}
    load_files([write("pull.py", LIGHT)])
    assert keys(suite, tmp_path) == before


def test_the_folder_does_not_belong_to_the_keys(write, tmp_path):
    suite = write("s.yaml", SUITE)
    load_files([write("pull.py", LIGHT)])
    before = keys(suite, tmp_path)
    plugins._forget(str(tmp_path / "pull.py"))
    del sys.modules[f"{MODULE_PREFIX}pull"]
    (tmp_path / "other").mkdir()
    load_files([write("other/pull.py", LIGHT)])
    assert keys(suite, tmp_path) == before


def test_a_scenario_of_a_file_is_part_of_the_key(write, tmp_path):
    suite = write("s.yaml", SUITE.replace("two_models:", "small:").replace("pull: {", "ewc: {"))
    load_files([write("small.py", SCENARIO)])
    before = keys(suite, tmp_path)
    load_files([write("small.py", SCENARIO.replace("width: int = 4", "width: int = 4 + 0"))])
    assert not set(before.values()) & set(keys(suite, tmp_path).values())


def test_the_suite_in_a_report_makes_the_same_runs(write, tmp_path):
    load_files([write("pull.py", LIGHT), write("small.py", SCENARIO)])
    suite = write("s.yaml", SUITE.replace("two_models:", "small:"))
    runs = load_suite(str(suite)).runs("cpu", tmp_path)
    assert runs[0].spec.scenario.plugin is not None
    texts = suite_files([Record(**run.cell(), status="done") for run in runs])
    again = load_suite(str(write("again.yaml", texts["mine"]))).runs("cpu", tmp_path)
    assert {run.key for run in again} == {run.key for run in runs}


def test_another_process_is_sent_the_text_that_was_read(write):
    load_files([write("pull.py", LIGHT)])
    write("pull.py", "an edit under way")
    known = loaded()
    digest = plugins.digest_of("strategy", "pull")
    # Other tests of this process may have left sources of theirs.
    *_, own = [source.path for source in known.sources if "pull.py" in source.path]
    plugins._forget(own)
    assert "pull" not in STRATEGIES
    load_again(known)
    assert STRATEGIES["pull"].__name__ == "Pull"
    assert plugins.digest_of("strategy", "pull") == digest


def test_a_file_given_twice_is_loaded_once(write):
    counted = LIGHT + "import builtins\nbuiltins.times = getattr(builtins, 'times', 0) + 1\n"
    file = write("pull.py", counted)
    try:
        load_files([file, file])
        import builtins

        assert builtins.times == 1
    finally:
        del builtins.times


def test_what_a_file_adds_is_listed_and_shown(write, capsys):
    file = write("pull.py", LIGHT)
    assert command("list", "strategies", "--plugin", file, "--json") == 0
    assert "pull" in {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert command("show", "strategy", "pull", "--plugin", file) == 0
    out = capsys.readouterr().out
    assert "from pull import Pull" in out
    assert "reach = 3   (int)\n      How far." in out
    assert command("show", "scenario", "small", "--plugin", write("small.py", SCENARIO)) == 0
    assert "Two small models." in capsys.readouterr().out


def test_a_light_plugin_is_shown_without_torch(write):
    write("pull.py", LIGHT)
    write("s.yaml", SUITE)
    code = (
        "import sys; from palimpsest.benchmark.cli import main\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        "sys.exit('torch' in sys.modules)"
    )
    for arguments in (["show", "strategy", "pull"], ["list", "strategies"]):
        answer = subprocess.run(
            [sys.executable, "-c", code, *arguments, "--plugin", "pull.py"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        assert "pull" in answer.stdout


def test_unknown_settings_are_told_with_the_nearest_name(write):
    load_files([write("pull.py", LIGHT)])
    suite = write("s.yaml", SUITE.replace("{strengths: [1, 2]}", "{raech: 2}"))
    with pytest.raises(UserError, match=r"line 7: strategies.pull.raech.*did you mean 'reach'"):
        load_suite(str(suite))


SETTINGS = "from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings\n"
BROKEN = {
    "this plugin file does not exist": None,
    "line 2: not valid Python": "x = 1\ndef f(:\n",
    "line 3: ModuleNotFoundError: No module named 'nowhere'": "\n\nimport nowhere\n",
    "line 2: importing it ends the program (SystemExit: 3)": "import sys\nsys.exit(3)\n",
    "has nothing to add": "x = 1\n",
    "line 2: SCENARIOS is 3, expected a list": "\nSCENARIOS = 3\n",
    "line 2: expected a class with facts = Facts(...)": "\nclass Mine:\n    facts = 'ewc'\n",
    "line 1: expected a class derived from": "SCENARIOS = [int]\n",
    "Pull lacks drawn, pulled, which its base class asks for": LIGHT.replace(
        "class Pull:\n",
        "import abc\nclass Pull(abc.ABC):\n"
        "    @abc.abstractmethod\n    def pulled(self): ...\n"
        "    @abc.abstractmethod\n    def drawn(self): ...\n",
    ),
    "line 12: 'Pull it' is not a valid name": LIGHT.replace('"pull"', '"Pull it"'),
    "line 12: Palimpsest already has a strategy 'ewc'": LIGHT.replace('"pull"', '"ewc"'),
    "line 12: Pull.Settings is the class int, expected": LIGHT.replace("= PullSettings", "= int"),
    "line 12: its dial 'strength' is no setting of PullSettings": LIGHT.replace("strength:", "s:"),
    "line 12: the setting reach has whole numbers: expected a dial with whole=True": LIGHT.replace(
        "STRENGTH)", "Dial('reach', 'reaches'))"
    ).replace("STRENGTH, Facts", "Dial, Facts"),
    "line 13: Palimpsest already has a scenario 'two_models'": SCENARIO.replace(
        '"small"', '"two_models"'
    ),
    "has no name": f"{SETTINGS}class Mine(ScenarioSettings): pass\nSCENARIOS = [Mine]\n",
    "has no method build": SETTINGS
    + "class Mine(ScenarioSettings):\n    family: str = 'mine'\nSCENARIOS = [Mine]\n",
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_file_is_told_with_its_line(write, tmp_path, capsys, message):
    if BROKEN[message] is not None:
        write("broken.py", BROKEN[message])
    before = dict(STRATEGIES), dict(FAMILIES)
    assert command("list", "strategies", "--plugin", "broken.py") == 2
    err = capsys.readouterr().err
    assert message in err
    assert "broken.py" in err
    assert "Traceback" not in err
    assert before == (STRATEGIES, FAMILIES)


def test_two_files_cannot_add_the_same_name(write):
    load_files([write("one.py", LIGHT)])
    with pytest.raises(
        UserError, match=r"two\.py, line 12: .*one\.py already adds a strategy 'pull'"
    ):
        load_files([write("two.py", LIGHT)])
    assert STRATEGIES["pull"].__module__ == "palimpsest_plugin_one"


def test_two_files_of_one_name_are_refused(write, tmp_path):
    load_files([write("one.py", LIGHT)])
    (tmp_path / "deep").mkdir()
    with pytest.raises(UserError, match="rename one"):
        load_files([write("deep/one.py", SCENARIO)])


def announce(monkeypatch, **points):
    """Pretend that installed packages have these entry points, by name."""
    made = [EntryPoint(n, value, "palimpsest.strategies") for n, value in points.items()]
    monkeypatch.setattr(
        "palimpsest.benchmark.plugins.packages.entry_points",
        lambda group: [point for point in made if point.group == group],
    )


def test_a_package_can_announce_a_strategy(write, tmp_path, monkeypatch):
    package = tmp_path / "pulling"
    package.mkdir()
    write("pulling/__init__.py", "")
    write("pulling/entry.py", LIGHT)
    monkeypatch.syspath_prepend(tmp_path)
    announce(monkeypatch, pull="pulling.entry:Pull")
    suite = write("s.yaml", SUITE)
    before = keys(suite, tmp_path)
    assert STRATEGIES["pull"].__module__ == "pulling.entry"
    digest = plugins.digest_of("strategy", "pull")
    del STRATEGIES["pull"], plugins._origins["strategy", "pull"]
    load_packages.cache_clear()
    write("pulling/other.py", "x = 'nothing of it uses this'\n")
    assert keys(suite, tmp_path) == before
    del STRATEGIES["pull"], plugins._origins["strategy", "pull"]
    load_packages.cache_clear()
    write("pulling/entry.py", LIGHT.replace("= strength", "= reach"))
    after = keys(suite, tmp_path)
    assert plugins.digest_of("strategy", "pull") != digest
    assert {cell for cell in before if before[cell] == after[cell]} == {("finetune", None)}


def test_a_broken_package_is_named(monkeypatch):
    announce(monkeypatch, pull="nowhere_at_all:PULL")
    with pytest.raises(UserError, match=r"palimpsest.strategies:pull = nowhere_at_all:PULL: Modul"):
        load_packages()


def test_packages_are_not_looked_at_for_what_ships(write, monkeypatch, tmp_path):
    announce(monkeypatch, pull="nowhere_at_all:PULL")
    suite = write("s.yaml", SUITE.replace("pull:", "ewc:"))
    assert load_suite(str(suite))


RUNS = LIGHT.replace(
    "class Pull:\n",
    "from avalanche.training.plugins import SupervisedPlugin\n\n\nclass Pull(SupervisedPlugin):\n"
    "    def before_training_exp(self, strategy, *_, **__):\n"
    "        for parameter in strategy.model.parameters():\n"
    "            parameter.data.mul_(0)\n",
).replace(
    "        self.strength = strength\n", "        super().__init__()\n        self.s = strength\n"
)

TEMPLATE = """\
from avalanche.training.supervised import Naive

from palimpsest.strategies.base.facts import STRENGTH, Facts
from palimpsest.strategies.base.settings import StrategySettings


class MineSettings(StrategySettings):
    strength: float = 1.0


class Mine(Naive):
    facts = Facts("pull", "a template", "made up", STRENGTH)
    Settings = MineSettings

    def __init__(self, *, strength, **arguments):
        super().__init__(**arguments)
        assert strength in (1, 2)
"""


@pytest.mark.parametrize("text", [RUNS, TEMPLATE], ids=["plugin", "template"])
def test_a_suite_runs_with_it(write, capsys, text):
    file, suite = write("pull.py", text), write("s.yaml", SUITE)
    options = ("--plugin", file, "--store", "r.db", "--workers", 1, "--json")
    assert command("run", suite, *options) == 0, capsys.readouterr().err
    runs = json.loads(capsys.readouterr().out)
    assert [run["status"] for run in runs] == ["done"] * 3
    pulled = {run["strength"]: run["accuracy_matrix"] for run in runs if run["strength"]}
    (plain,) = (run["accuracy_matrix"] for run in runs if run["strategy"] == "finetune")
    assert plain not in pulled.values()
    assert pulled[1] == pulled[2]


def test_workers_load_it_too(write, capsys):
    file, suite = write("pull.py", RUNS), write("s.yaml", SUITE)
    options = ("--plugin", file, "--store", "r.db", "--workers", 2, "--json")
    assert command("run", suite, *options) == 0, capsys.readouterr().err
    assert {run["status"] for run in json.loads(capsys.readouterr().out)} == {"done"}


def test_a_plugin_imports_what_lies_beside_it(tmp_path):
    (tmp_path / "lies_beside.py").write_text("NAME = 'pulls_too'\n")
    text = LIGHT.replace('Facts("pull"', "Facts(NAME")
    (tmp_path / "pulls_too.py").write_text(f"from lies_beside import NAME\n{text}")
    (tmp_path / "random.py").write_text("raise SystemExit('this hides nothing')\n")
    run = subprocess.run(
        [sys.executable, "-m", "palimpsest", "list", "strategies", "--plugin",
         str(tmp_path / "pulls_too.py")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    assert "pulls_too" in run.stdout
