"""What the README and the pages of docs/ show is what works."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.reports.runs.provenance import WPL_PAPER, citation
from palimpsest.reports.wording.numbers import strength_text
from palimpsest.strategies.base.catalogue import STRATEGIES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PROGRAM = ROOT / "docs" / "avalanche-programs.md"
QUICK = ROOT / "docs" / "images" / "quick.svg"
NUMBER = r"\d[\d.]*(?:e-?\d+)?"
AT_ONCE = {"run", "report", "new", "list", "show"}
"""Commands that are carried out; of the others, which train, the names and options are checked."""


def fences(page):
    """Language and text of every block of code."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def blocks(page, language):
    return [text for name, text in fences(page) if name == language]


def write_files(page):
    """Write what a page shows as a file: suites, and Python whose first line is ``# NAME.py``."""
    for text in blocks(page, "yaml"):
        Path(f"{yaml.safe_load(text)['suite']}.yaml").write_text(text)
    for text in blocks(page, "python"):
        named = re.match(r"# (\w+\.py)\n", text)
        if named:
            Path(named[1]).write_text(text)


def commands(page):
    whole = re.sub(r"\\\n>\s*", "", "".join(text for _, text in fences(page)))  # continued lines
    lines = whole.splitlines()
    shown = [
        line.removeprefix("$ palimpsest ") for line in lines if line.startswith("$ palimpsest")
    ]
    return [shlex.split(line, comments=True) for line in shown]


@pytest.fixture
def folder(tmp_path, monkeypatch, registries):
    """A user's folder, without anything that another test has made known."""
    monkeypatch.chdir(tmp_path)
    with registries():
        yield tmp_path


def pages_with(content):
    pages = [page for page in PAGES if content(page)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.name)


@pytest.mark.filterwarnings("ignore")
@pages_with(lambda page: blocks(page, "python"))
def test_python_runs(page, folder):
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), {"__name__": "page"})


@pages_with(lambda page: blocks(page, "yaml"))
def test_suites_are_valid(page, folder):
    write_files(page)
    load_files(folder.glob("*.py"))
    for text in blocks(page, "yaml"):
        suite = load_suite(f"{yaml.safe_load(text)['suite']}.yaml")
        assert suite.runs("cpu", folder)


@pages_with(commands)
def test_commands_are_understood(page, folder, capsys):
    """One after another, so that each finds what those before it wrote."""
    write_files(page)
    for arguments in commands(page):
        carried_out = arguments[0] in AT_ONCE
        options = ["--dry-run"] * (arguments[0] == "run") if carried_out else ["--help"]
        with pytest.raises(SystemExit) as left:
            main([*arguments, *options])
        err = capsys.readouterr().err
        missing = any(f"there is no {kind} here" in err for kind in ("store", "archive"))
        assert left.value.code == 0 or missing, (arguments, err)


def test_a_command_that_is_not_there_would_be_found(folder, capsys):
    for wrong in (["chekc", "my_reg.py"], ["check", "my_reg.py", "--sett", "a=1"]):
        with pytest.raises(SystemExit) as left:
            main([*wrong, "--help"])
        assert left.value.code == 2


def test_there_is_something_to_check():
    assert {"README.md", "strategies.md", "own-strategy.md"} <= {page.name for page in PAGES}
    assert blocks(README, "python")
    assert blocks(README, "yaml")
    assert commands(README)
    assert ["check", "my_reg.py"] in commands(README)
    assert ["check", "avalanche:RWalk"] in commands(ROOT / "docs" / "avalanche-findings.md")


def test_it_is_cited_as_reports_say():
    assert blocks(README, "bibtex") == [f"{citation()}\n\n{WPL_PAPER}\n"]


def strengths_of_quick():
    strategies = load_suite("quick").strategies.values()
    return {s for each in strategies for s in each.strengths if s is not None}


def test_the_picture_of_quick_has_the_strengths_of_quick():
    """A strength's label has its strategy's colour; an axis's numbers are grey."""
    texts = re.findall(r"<text [^>]*fill: (#\w+)[^>]*>([^<]*)</text>", QUICK.read_text())
    labels = {text for ink, text in texts if re.fullmatch(NUMBER, text) and len(set(ink[1:])) > 1}
    assert labels
    assert labels <= {strength_text(strength) for strength in strengths_of_quick()}


def test_what_it_says_of_quick_is_of_its_strengths():
    (said,) = re.findall(r"(`quick` takes .*?)\n## ", README.read_text(), re.DOTALL)
    plain = re.sub(r"[\d.]+[ \n]*%|\d+[ \n]points?", "", " ".join(said.split()))
    named = re.findall(rf"(?:\bat|\bstrengths?) ({NUMBER})\b|\b(\d+e\d+)\b", plain)
    assert named
    assert {float(one or other) for one, other in named} <= strengths_of_quick()


def test_every_module_it_names_exists():
    (tree,) = (text for text in blocks(ARCHITECTURE, "") if text.startswith("palimpsest/"))
    folder = ""
    for line in tree.splitlines():
        name = line.split()[0]
        if line.startswith(" " * 8):
            continue  # a line goes on
        folder = name if not line.startswith(" ") else folder
        assert (ROOT / (name if name == folder else folder + name)).exists(), name


@pytest.mark.parametrize("package", ["benchmark", "strategies", "reports"])
def test_the_architecture_names_every_room(package):
    named = {line.split()[0] for text in blocks(ARCHITECTURE, "") for line in text.splitlines()}
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / package).iterdir()
        if path.name not in {"__init__.py", "__pycache__", "py.typed"}
    }
    one_each = {f"{name}.py" for name in STRATEGIES}  # "one file per strategy"
    assert there - one_each <= named


def test_the_program_shows_what_protection_does(capsys):
    """The accuracies that it prints: fine-tuning forgets the first digits, WPL keeps them."""
    (program,) = (code for code in blocks(PROGRAM, "python") if "import Naive" in code)
    exec(compile(program, PROGRAM.name, "exec"), {"__name__": "page"})
    (shown,) = (text for text in blocks(PROGRAM, "") if text.startswith("fine-tuning:"))
    found, said = (
        {name: [int(value) for value in values] for name, *values in map(str.split, lines)}
        for lines in (
            [line for line in capsys.readouterr().out.splitlines() if line[-1:].isdigit()],
            shown.splitlines(),
        )
    )
    plain, protected = found["fine-tuning:"], found["WPL:"]
    for name, values in said.items():
        assert found[name] == pytest.approx(values, abs=12)
    assert protected[0] > plain[0] + 10
    assert sum(protected) > sum(plain)
    assert plain[-1] > 85


@pytest.mark.parametrize(
    ("name", "page"),
    [("mine", "../README.md"), ("inside", "suites.md"), ("negatives", "own-scenario.md")],
)
def test_the_suites_have_something_to_show(folder, capsys, name, page):
    """Models that learn, fine-tuning that forgets, and a penalty that removes some of it."""
    write_files(ROOT / "docs" / page)
    only = ["--strategies", "finetune,wpl,independent", "--set", "strategies.wpl.strengths=[100]"]
    (scenario,) = yaml.safe_load(Path(f"{name}.yaml").read_text())["scenarios"]
    plain = ["--set", "probes=[]", "--set", f"scenarios.{scenario}.curve.every=0"]
    with pytest.raises(SystemExit) as left:
        command = ["run", f"{name}.yaml", "--seeds", "1", "--workers", "1", "--json"]
        plugin = ["--plugin", "negatives.py"] if name == "negatives" else []
        main([*command, *only, *plain, *plugin])
    assert left.value.code == 0
    runs = json.loads(capsys.readouterr().out)
    metrics = {run["strategy"]: run["metrics"] for run in runs}
    assert metrics["finetune"]["forgetting"] > 0.03
    assert metrics["wpl"]["forgetting"] < 0.7 * metrics["finetune"]["forgetting"]
    assert metrics["independent"]["average_accuracy"] > 0.85
