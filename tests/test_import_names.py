"""All of Palimpsest has one name in other people's environments."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
OURS = ("benchmark", "strategies", "reports", "configs")
"""Folders of the repository, and what many projects call one of theirs."""

PROJECT = {
    "benchmark/__init__.py": "mine = 'a benchmark'",
    "strategies/__init__.py": "",
    "strategies/half.py": "FACTOR = 0.5",
    "reports.py": "def write(n):\n    return f'{n} runs'",
    "configs/__init__.py": "",
    "plugin.py": """
from palimpsest.strategies.l2 import L2
from palimpsest.strategies.base.facts import STRENGTH, Facts
from strategies.half import FACTOR

class Half(L2):
    facts = Facts("half", "half of l2", "mine", STRENGTH)

    def __init__(self, strength, **settings):
        super().__init__(strength=strength * FACTOR, **settings)
""",
    "script.py": """
import benchmark, reports
import palimpsest
from palimpsest import load_suite, run_suite

if __name__ == "__main__":
    scenario = {"family": "split", "data": "digits", "experiences": 2, "steps": 2, "width": 4}
    suite = {"suite": "s", "scenarios": {"it": scenario}, "seeds": 1}
    suite["strategies"] = {"half": {"strengths": [1]}, "finetune": {}}
    found = run_suite(load_suite(suite, plugins=["plugin.py"]), store="s.db", workers=1)
    print(benchmark.mine, reports.write(len(found) - len(found.failed)), palimpsest.__path__[0])
""",
}
"""A project that has folders and files of these names, with a plugin and a script."""


def told(arguments, cwd, *first):
    """What a new process says, in a folder, with Palimpsest behind other places on its path."""
    path = os.pathsep.join(map(str, [*first, ROOT]))
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def package(folder, name, text=""):
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)


@pytest.fixture
def project(tmp_path):
    for name, text in PROJECT.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "project"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that is built from the source archive, unpacked as an installation would."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", place, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = place.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(place / "site")
    return place / "site"


def test_the_wheel_has_one_name(wheel):
    assert sorted(path.name for path in wheel.iterdir() if path.suffix != ".dist-info") == [
        "palimpsest"
    ]
    for folder in OURS:
        there = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")}
        assert {path for path in there if (wheel / "palimpsest" / path).is_file()} == there
    assert (wheel / "palimpsest" / "configs" / "quick.yaml").is_file()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert settings["scripts"] == {"palimpsest": "palimpsest.benchmark.cli:main"}


@pytest.mark.parametrize("installed", ["wheel", "checkout"])
def test_it_works_in_a_project_with_folders_of_the_same_names(installed, request, project):
    place = request.getfixturevalue("wheel") if installed == "wheel" else ROOT
    ran = told(["script.py"], project, project, place)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["a", "benchmark", "2", "runs", str(place / "palimpsest")]


def test_nothing_is_imported_under_another_name():
    """The folders of the checkout are packages only below ``palimpsest``."""
    wrong = re.compile(rf"^\s*(from|import) ({'|'.join(OURS)})\b", re.MULTILINE)
    files = [path for name in (*OURS, "docs") for path in (ROOT / name).rglob("*.py")]
    files += [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    assert not [path for path in files if wrong.search(path.read_text("utf-8"))]


def fields(entry):
    """Of a BibTeX entry, by name."""
    found = re.findall(r"(\w+)\s*=\s*\{(.*?)\}(?:,\n|\n)", f"{entry}\n", re.DOTALL)
    return {name: " ".join(value.split()).strip("{}") for name, value in found}


def test_the_citation_file_agrees_with_the_readme():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (entries,) = re.findall(r"```bibtex\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    ours, theirs = map(fields, entries.split("\n\n"))
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= {*cited}  # those that the format asks for
    assert cited["title"] == ours["title"]
    assert f"Version {cited['version']}" == ours["note"] == f"Version {settings['version']}"
    assert cited["license"] == settings["license"]
    assert [author["name"] for author in cited["authors"]] == [ours["author"]]
    (reference,) = cited["references"]
    names = [f"{a['family-names']}, {a['given-names']}" for a in reference["authors"]]
    assert " and ".join(names) == theirs["author"]
    assert reference["title"] == theirs["title"]
    assert reference["collection-title"] == theirs["booktitle"]
    assert reference["volume-title"] == theirs["series"]
    assert f"{reference['start']}--{reference['end']}" == theirs["pages"]
    assert reference["publisher"]["name"] == theirs["publisher"]
    assert [str(reference[name]) for name in ("volume", "year")] == [
        theirs["volume"], theirs["year"]
    ]  # fmt: skip


def test_runs_are_carried_out_beside_files_of_any_name(tmp_path):
    """Workers import what the command imports, whatever lies in the working folder."""
    for name in ("random", "numpy", "signal", "torch", "palimpsest"):
        package(tmp_path, name, f"raise SystemExit('users {name}')")
    scenario = {"family": "split", "data": "digits", "experiences": 2, "steps": 2, "width": 4}
    suite = {"suite": "s", "scenarios": {"it": scenario}, "strategies": {"finetune": {}}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(suite | {"seeds": 1}))
    script = Path(sysconfig.get_path("scripts"), "palimpsest")
    ran = told([str(script), "run", "s.yaml", "--store", "s.db"], tmp_path)
    assert (ran.returncode, ran.stderr.count("users")) == (0, 0), ran.stderr
    assert "Results: s.db" in ran.stdout
