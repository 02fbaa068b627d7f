"""The arrows of the README's architecture section: who may import whom."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIGHT = [
    "suite.py",
    "suite_file.py",
    "store.py",
    "database.py",
    "validation.py",
    "errors.py",
    "schema.py",
]
LIGHT += ["archive.py", "record.py", "spec.py", "in_use.py", "failure.py", "suite_note.py"]
LIGHT += [
    "arguments.py",
    "named.py",
    "run_settings.py",
    "selection.py",
    "results.py",
    "suite_loading.py",
    "running.py",
    "advance.py",
    "heartbeat.py",
]
LIGHT += [
    "under_way.py",
    "time_left.py",
    "rescue.py",
    "saving.py",
    "access.py",
    "examination.py",
    "claims.py",
    "new_store.py",
    "shapes.py",
    "connection.py",
    "resources.py",
    "exchange.py",
]
LIGHT += [
    f"executors/{name}.py"
    for name in (
        "executor",
        "carry_out",
        "choice",
        "place",
        "sent_data",
        "ray_cluster",
        "ray_nodes",
        "ray_task",
        "slurm_arrays",
        "slurm_task",
        "submission",
        "workers",
        "worker",
        "starting",
        "in_worker",
        "death",
        "scratch",
        "capacity",
        "control_groups",
    )
]
LIGHT += [f"models/supernets/{name}.py" for name in ("__init__", "space", "spaces", "settings")]
LIGHT += ["data/text_files.py"]
LIGHT += ["checkpoints/__init__.py", "checkpoints/place.py"]
LIGHT += [f"metrics/{path.name}" for path in (ROOT / "benchmark" / "metrics").glob("*.py")]
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
            folder = ROOT / node.module.replace(".", "/")
            inside = {a.name for a in node.names if is_module(folder / a.name)}
            found |= {f"{node.module}.{name}" for name in inside}
            found |= {node.module} if len(inside) < len(node.names) else set()
    return found


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
    allowed = {"benchmark"} | {
        f"benchmark.{m}"
        for m in (
            "archive",
            "store",
            "record",
            "spec",
            "failure",
            "files",
            "frame",
            "metrics",
            "metrics.search",
            "errors",
            "provenance",
            "results",
            "run_settings",
            "selection",
            "untrusted",
            "yaml_text",
        )
    }
    assert {m for m in found if m.split(".")[0] == "benchmark"} <= allowed


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


@pytest.mark.parametrize("name", LIGHT)
def test_what_the_command_line_needs_at_once_is_light(name):
    assert not {m for m in imports(ROOT / "benchmark" / name) if m.split(".")[0] in HEAVY}


LEVELS = [
    [
        "errors",
        "failure",
        "in_use",
        "named",
        "spec",
        "provenance",
        "seeding",
        "generators",
        "connection",
        "resources",
        "untrusted",
    ],
    [
        "advance",
        "arguments",
        "assignment",
        "suite_file",
        "suite_note",
        "under_way",
        "validation",
        "yaml_text",
        "seeds",
        "schedule",
    ],
    ["access", "schema", "data", "models", "metrics", "database", "files", "exchange"],
    [
        "scenarios",
        "plugins",
        "suite",
        "jobs",
        "shapes",
        "record",
        "store",
        "archive",
        "run_settings",
        "selection",
        "frame",
        "results",
    ],
    [
        "evaluation",
        "training",
        "control",
        "rates",
        "augmentation",
        "precision",
        "cost",
        "optimizers",
        "avalanche_strategies",
        "probes",
        "search",
    ],
    ["measurement"],
    [
        "first_model",
        "preparation",
        "checkpoints",
        "runner",
        "strategy_checks",
        "suite_loading",
        "kit",
    ],
    [
        "executors",
        "network_checks",
        "plan",
        "estimate",
        "heartbeat",
        "time_left",
        "rescue",
        "saving",
        "examination",
        "pulse",
        "claims",
        "new_store",
        "speed",
    ],
    ["running"],
    ["cli", "templates"],
]
"""The floors of ``benchmark/``: what stands on one imports from it and from those below."""

LEVEL = {name: height for height, level in enumerate(LEVELS) for name in level}


def unit(module):
    """The file or folder of ``benchmark/`` that a module is in."""
    return module.split(".")[1]


@pytest.mark.parametrize("path", files("benchmark"), ids=ids)
def test_what_a_level_imports_is_not_above_it(path):
    if path == ROOT / "benchmark" / "__init__.py":
        return  # what a program imports from here is from everywhere
    own = path.relative_to(ROOT / "benchmark").with_suffix("").parts[0]
    assert own in LEVEL, f"{own} stands on no level yet: say on which, in LEVELS"
    found = {unit(module) for module in imports(path) if module.startswith("benchmark.")}
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
