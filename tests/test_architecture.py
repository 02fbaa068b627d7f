"""The arrows of the README's architecture section: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIGHT = ["suite.py", "suite_file.py", "store.py", "database.py", "validation.py", "metrics.py"]
LIGHT += ["errors.py", "archive.py"]
LIGHT += [f"plugins/{name}.py" for name in ("__init__", "additions", "packages", "source")]
HEAVY = {"torch", "torchvision", "avalanche"}


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
        f"benchmark.{m}" for m in ("archive", "store", "database", "metrics", "errors")
    }
    assert {m for m in found if m.split(".")[0] == "benchmark"} <= allowed


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
