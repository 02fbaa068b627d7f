"""An addition to the tree is one file: it is found everywhere, and no list names it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

FAMILY, DATA_SET = "benchmark/scenarios/families/noisy_labels.py", "benchmark/data/sets/bars.py"
PROBE, FIGURE = "benchmark/probes/gradient_norm.py", "reports/figures/seeds.py"
STRATEGY = "strategies/gradient_variance.py"

ADDED = {  # the pages' own examples
    STRATEGY: ("own-strategy.md", "class GradientVariance(Regularizer)"),
    FAMILY: ("own-scenario.md", "class NoisyLabels"),
    DATA_SET: ("own-scenario.md", "class Bars"),
    PROBE: ("probes.md", "class GradientNorm"),
    FIGURE: ("report.md", "def seeds_plot"),
}

LOOK = """
import json, sys
sys.path.insert(0, "docs/_ext")
from palimpsest.benchmark.data.sets import SETS
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.probes import PROBES, load, summary_of
from palimpsest.reports.figures.figure import figures
from palimpsest.strategies.base.catalogue import STRATEGIES
found = {
    "light": "torch" not in sys.modules,
    "data_sets": [*SETS], "every_scenario": [*FAMILIES], "probes": [*PROBES],
    "figures": [*figures()], "strategies": [*STRATEGIES],
}
import from_code
pages = {name: from_code.WRITERS[name]() for name in found if name != "light"}
found["pages"] = pages
found["probe"] = [load("gradient_norm").__name__, summary_of("gradient_norm")]
found["class"] = STRATEGIES["gradient_variance"].__name__
print("FOUND" + json.dumps(found))
"""

SUITE = """
suite: added
seeds: 1
probes: [gradient_norm]
scenarios:
  noisy_labels: {data: bars, width: 4, epochs: 1, optimizer: {name: sgd, learning_rate: 0.1}}
strategies:
  gradient_variance: {strengths: [1]}
"""


def example(page, holds):
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S)
    (found,) = (block for block in blocks if holds in block)
    return found.partition("\nSCENARIOS = ")[0]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the tree with the trial files."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("benchmark", "strategies", "reports", "palimpsest", "configs", "docs/_ext"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    for path, (page, holds) in ADDED.items():
        (folder / path).write_text(example(page, holds))
    return folder


def python(tree, *arguments):
    settings = os.environ | {"PYTHONPATH": str(tree), "XDG_CACHE_HOME": str(tree / "cache")}
    command = [sys.executable, *arguments]
    ran = subprocess.run(
        command, cwd=tree, env=settings, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def test_each_is_found_by_looking_and_is_on_its_page(tree):
    found = json.loads(python(tree, "-c", LOOK).partition("FOUND")[2])
    names = {
        "strategies": "gradient_variance",
        "every_scenario": "noisy_labels",
        "data_sets": "bars",
        "probes": "gradient_norm",
        "figures": "seeds",
    }
    for what, name in names.items():
        assert name in found[what]
        assert name in found["pages"][what].replace("\\_", "_")
    assert found["light"]
    assert found["probe"] == ["GradientNorm", "How long the gradient is while a model trains"]
    assert found["class"] == "GradientVariance"


RUN = """
from palimpsest import run_suite
from palimpsest.benchmark.cli import main
run_suite("added.yaml", store="a.db", workers=0)
main(["report", "a.db", "-o", "a.html", "--tables", "csv"])
"""


def test_a_suite_runs_with_them_and_the_report_shows_what_the_probe_recorded(tree):
    (tree / "added.yaml").write_text(SUITE)
    python(tree, "-c", RUN)
    written = (tree / "a_files" / "scenario-noisy-labels-recorded.csv").read_text()
    assert written.startswith("scenario,variant,seed,probe,model,block,norm")
    assert "gradient_norm,2,head_2," in written
