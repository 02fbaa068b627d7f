"""The arrows of the README's architecture section: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIGHT = ["suite.py", "suite_file.py", "store.py", "database.py", "validation.py", "metrics.py"]
LIGHT += ["errors.py", "archive.py"]
LIGHT += [f"plugins/{name}.py" for name in ("__init__", "additions", "packages", "source")]
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
            found.add(node.module)
    return found


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
    allowed = {"benchmark"} | {
        f"benchmark.{m}" for m in ("archive", "store", "files", "metrics", "errors")
    }
    assert {m for m in found if m.split(".")[0] == "benchmark"} <= allowed


def rooms_of(path):
    """The room a file of reports is in, and those it imports from."""
    used = {m.split(".")[1] for m in imports(path) if m.startswith("reports.")}
    return path.relative_to(ROOT / "reports").parts[0], used


def test_every_file_of_reports_is_in_a_room():
    top = {path.name for path in (ROOT / "reports").iterdir() if path.name != "__pycache__"}
    assert top == {*ROOMS, *FRONT_ENDS, "__init__.py", "py.typed"}


@pytest.mark.parametrize(
    "path", [p for p in files("reports") if p.parent.name != "reports"], ids=ids
)
def test_rooms_of_reports_import_only_those_before_them(path):
    room, used = rooms_of(path)
    before = ROOMS if room in FRONT_ENDS else ROOMS[: ROOMS.index(room)]
    assert used <= {*before, room}


@pytest.mark.parametrize("package", ["reports", "strategies"])
def test_files_import_each_other_in_no_circle(package):
    known = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files(package)
    }
    left = {name: imports(path) & known.keys() for name, path in known.items()}
    while bottom := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in bottom}
    assert not left


@pytest.mark.parametrize("name", LIGHT)
def test_what_the_command_line_needs_at_once_is_light(name):
    assert not {m for m in imports(ROOT / "benchmark" / name) if m.split(".")[0] in HEAVY}


@pytest.mark.parametrize("path", files("benchmark/data") + files("benchmark/models"), ids=ids)
def test_data_and_models_are_at_the_bottom(path):
    above = {"scenarios", "training", "runner", "executors", "cli", "suite", "evaluation"}
    assert not {m for m in imports(path) if m.startswith("benchmark.") and m.split(".")[1] in above}


def test_only_the_command_line_imports_the_command_line():
    for path in files("benchmark"):
        if "cli" not in path.parts:
            assert not {m for m in imports(path) if m.startswith("benchmark.cli")}, path
