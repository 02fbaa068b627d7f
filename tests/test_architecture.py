"""The arrows of the README's architecture section: who may import whom."""

import ast
import re
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import palimpsest.strategies
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.strategies.base.catalogue import STRATEGIES, methods_in
from palimpsest.strategies.base.settings import StrategySettings

ROOT = Path(__file__).parents[1]
LIGHT = {
    "": "errors",
    "data/formats": "text_files",
    "executors": "capacity executor options process_exit run_jobs scratch shipped_data target",
    "executors/local": "control_groups in_worker starting worker workers",
    "executors/ray": "cluster nodes task",
    "executors/slurm": "arrays job_folder submission task",
    "orchestration": "eta loop",
    "plugins": "__init__ additions families packages source",
    "results": "results run_settings selection",
    "runs": "failure job_progress record record_files record_shapes",
    "runs/checkpoints": "__init__ paths",
    "search/supernets": "__init__ settings space spaces",
    "settings": "arguments defaults text values",
    "store": "access active_runs archive connection database heartbeat integrity leases "
    "new_store schema store unsaved_runs writer",
    "suites": "avalanche catalogue file loading note resources spec strategy_checks suite "
    "validation",
}
"""Files of ``benchmark/`` that import neither torch nor Avalanche, by their folder.

``suites`` does when it is to check a strategy: it looks at its class.
"""

LIGHT_STRATEGIES = ("__init__", "base/catalogue", "base/facts", "base/settings")
"""Those of ``strategies/``: what a name, a fact and a setting are."""

HEAVY = {"torch", "torchvision", "avalanche"}
ROOMS = ["statistics", "wording", "runs", "analysis", "figures", "tables", "formats"]
FRONT_ENDS = ["html", "markdown"]
"""The rooms of reports: each imports only those before it, and no front end the other."""


def imports(path):
    """The modules a file imports, inside functions and type checks, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            folder = ROOT / node.module.replace(".", "/")
            inside = {a.name for a in node.names if is_module(folder / a.name)}
            found |= {f"{node.module}.{name}" for name in inside}
            found |= {node.module} if len(inside) < len(node.names) else set()
    return {name.removeprefix("palimpsest.") for name in found}


def heavy(path):
    return {module for module in imports(path) if module.split(".")[0] in HEAVY}


def is_module(path):
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def files(package):
    return sorted((ROOT / package).rglob("*.py"))


def ids(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", files("strategies"), ids=ids)
def test_strategies_need_nothing_of_the_harness(path):
    assert not {m for m in imports(path) if m.split(".")[0] in {"benchmark", "reports", "configs"}}


@pytest.mark.parametrize("path", files("reports"), ids=ids)
def test_reports_read_stores_and_train_nothing(path):
    found = imports(path)
    assert not {m for m in found if m.split(".")[0] in HEAVY | {"strategies"}}
    allowed = {"errors", "files.untrusted", "files.writing", "files.yaml_text", "metrics"}
    allowed |= {"metrics.search", "results.frame", "results.results", "results.run_settings"}
    allowed |= {"results.selection", "runs.failure", "runs.provenance", "runs.record"}
    allowed |= {"store.archive", "store.store", "suites.spec"}
    assert {m.removeprefix("benchmark.") for m in found if m.startswith("benchmark.")} <= allowed


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_file_in_strategies_is_a_method_with_its_name(name):
    """One class with facts in each, which is found by its own name, too."""
    (found,) = methods_in(import_module(f"palimpsest.strategies.{name}"))
    assert found.facts.name == name
    assert issubclass(found.Settings, StrategySettings)
    assert getattr(palimpsest.strategies, found.__name__) is STRATEGIES[name] is found


def test_a_file_in_families_is_a_family_with_its_name():
    found = {path.stem for path in files("benchmark/scenarios/families")} - {"__init__"}
    assert {*FAMILIES} == found | {"architecture_search"}
    assert all(family.__module__.endswith(f".{name}") for name, family in FAMILIES.items())


def rooms_of(path):
    """The room a file of reports is in, and those it imports from."""
    used = {m.split(".")[1] for m in imports(path) if m.startswith("reports.")}
    return path.relative_to(ROOT / "reports").parts[0], used


def test_every_file_of_reports_is_in_a_room():
    top = {path.name for path in (ROOT / "reports").iterdir() if path.name != "__pycache__"}
    assert top == {*ROOMS, *FRONT_ENDS, "__init__.py", "notebook.py", "py.typed"}


@pytest.mark.parametrize(
    "path", [p for p in files("reports") if p.parent.name != "reports"], ids=ids
)
def test_rooms_of_reports_import_only_those_before_them(path):
    room, used = rooms_of(path)
    before = ROOMS if room in FRONT_ENDS else ROOMS[: ROOMS.index(room)]
    assert used <= {*before, room}


@pytest.mark.parametrize(
    ("room", "name"), [(room, name) for room, names in LIGHT.items() for name in names.split()]
)
def test_what_the_command_line_needs_at_once_is_light(room, name):
    assert not heavy(ROOT / "benchmark" / room / f"{name}.py")


@pytest.mark.parametrize("name", LIGHT_STRATEGIES)
def test_names_of_strategies_are_light(name):
    assert not heavy(ROOT / "strategies" / f"{name}.py")


@pytest.mark.parametrize("path", files("benchmark/metrics"), ids=ids)
def test_metrics_are_light(path):
    assert not heavy(path)


LEVELS = [
    ["errors", "randomness", "settings", "files"],
    ["data", "metrics", "models"],
    ["scenarios"],
    ["training"],
    ["probes"],
    ["search"],
    ["plugins", "suites", "runs"],
    ["executors"],
    ["store"],
    ["results", "kit"],
    ["orchestration", "speed"],
    ["cli", "templates"],
]
"""The floors of ``benchmark/``: what stands on one imports from it and from those below."""

LEVEL = {name: height for height, level in enumerate(LEVELS) for name in level}


def of_room(module):
    """The room of ``benchmark/`` that a module is in."""
    return module.split(".")[1]


@pytest.mark.parametrize("path", files("benchmark"), ids=ids)
def test_what_a_level_imports_is_not_above_it(path):
    if path == ROOT / "benchmark" / "__init__.py":
        return
    own = path.relative_to(ROOT / "benchmark").with_suffix("").parts[0]
    assert own in LEVEL, f"{own} stands on no level yet: say on which, in LEVELS"
    found = {of_room(module) for module in imports(path) if module.startswith("benchmark.")}
    assert not {name for name in found if LEVEL[name] > LEVEL[own]}
    if own != "cli":
        assert not {module for module in imports(path) if module.split(".")[0] == "reports"}


def modules():
    """Every file by the module that it is, and the modules of ours that it imports."""
    paths = [path for name in ("benchmark", "strategies", "reports") for path in files(name)]
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in paths}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    lazy = {"benchmark", "strategies", "reports"}  # import when they are asked for something
    return {
        name: (imports(path) & names.keys()) - {name, *lazy}
        for name, path in names.items()
        if name not in lazy
    }


def test_no_modules_import_each_other():
    """Not through others either, nor for the sake of types."""
    TopologicalSorter(modules()).prepare()  # CycleError names them


NOT_YET = {
    "benchmark/cli/commands/speed.py",
    "benchmark/runs/avalanche_strategies.py",
    "benchmark/speed/measure.py",
    "benchmark/speed/training.py",
}


def test_reports_and_the_harness_know_strategies_by_their_facts_not_by_name():
    quoted = re.compile(rf"[\"']({'|'.join(map(re.escape, STRATEGIES))})[\"']")
    found = {
        ids(path): names
        for path in [*files("reports"), *files("benchmark")]
        if (names := quoted.findall(path.read_text()))
    }
    assert found.keys() <= NOT_YET, found
