"""Palimpsest's packages have common names: what is said where another one is imported instead."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

import palimpsest_bench
from palimpsest_bench import PACKAGES, check_import_names

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "script": ["-c", "from palimpsest_bench import main; main()"],
    "module": ["-m", "palimpsest_bench"],
    "package": ["-m", "palimpsest.benchmark.cli"],
}


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


@pytest.mark.parametrize("start", COMMANDS)
def test_nothing_is_said_where_all_is_well(tmp_path, start):
    ran = told([*COMMANDS[start], "--version"], tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("palimpsest ")


@pytest.mark.parametrize(
    ("start", "name"), list(zip(COMMANDS, ("configs", "reports", "strategies"), strict=True))
)
def test_a_folder_of_the_user_is_told_by_its_path(tmp_path, start, name):
    package(tmp_path, name, "raise SystemExit('this is not imported')")
    ran = told([*COMMANDS[start], "list", "suites"], tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"palimpsest: {name!r} is {tmp_path / name} here, which hides")
    assert f"in {ROOT}; rename it" in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("start", ["script", "module"])
def test_a_folder_that_hides_the_harness_is_told(tmp_path, start):
    """``python -m palimpsest.benchmark.cli`` is then the user's own, and Python says what that lacks."""
    package(tmp_path, "benchmark")
    ran = told([*COMMANDS[start], "list", "suites"], tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"palimpsest: 'benchmark' is {tmp_path / 'benchmark'} here")


def test_a_file_hides_as_a_folder_does(tmp_path):
    (tmp_path / "reports.py").touch()
    ran = told([*COMMANDS["script"], "list", "suites"], tmp_path)
    assert ran.stderr.startswith(f"palimpsest: 'reports' is {tmp_path / 'reports.py'} here")


def test_a_folder_without_python_hides_nothing(tmp_path):
    for name in PACKAGES:
        (tmp_path / name).mkdir()
    assert told([*COMMANDS["script"], "--version"], tmp_path).returncode == 0


def test_a_distribution_is_told_by_its_name(tmp_path):
    site = tmp_path / "site"
    package(site, "reports")
    info = site / "other-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.5\n")
    (info / "RECORD").write_text("reports/__init__.py,,\nother-1.5.dist-info/METADATA,,\n")
    ran = told([*COMMANDS["script"], "--version"], tmp_path, site)
    assert ran.returncode == 2
    assert f"{site / 'reports' / '__init__.py'} here, which is of the distribution" in ran.stderr
    assert "'other 1.5'" in ran.stderr
    assert "virtual environment of its own" in ran.stderr


def test_a_program_is_told_as_well(tmp_path):
    package(tmp_path, "strategies")
    ran = told(["-c", "from palimpsest.benchmark import run_suite"], tmp_path)
    assert f"ImportError: 'strategies' is {tmp_path / 'strategies'} here" in ran.stderr


@pytest.fixture
def installed(tmp_path):
    """A folder like that of installed packages, whose files others may write over."""
    for name in PACKAGES:
        package(tmp_path, name, (ROOT / name / "__init__.py").read_text())
    (tmp_path / "palimpsest_bench.py").write_text((ROOT / "palimpsest_bench.py").read_text())
    return tmp_path


def test_a_file_that_was_written_over_is_told(installed):
    (installed / "configs" / "__init__.py").write_text("# somebody's\n")
    ran = told([*COMMANDS["script"], "--version"], installed)
    assert ran.returncode == 2
    assert f"{installed / 'configs' / '__init__.py'} is not Palimpsest's file any" in ran.stderr


def test_strategies_say_whose_files_stand_among_theirs(installed):
    (installed / "strategies" / "registry.py").write_text(
        "from palimpsest.strategies.settings import X\n"
    )
    (installed / "strategies" / "settings.py").touch()
    ran = told(["-c", "import strategies"], installed)
    assert f"another package's files are mixed with Palimpsest's in {installed}" in ran.stderr
    assert "virtual environment of its own" in ran.stderr


def test_an_import_that_fails_for_another_reason_is_not_blamed_on_others(installed):
    (installed / "strategies" / "registry.py").write_text("import nothing_of_that_name\n")
    ran = told(["-c", "import strategies"], installed)
    assert "No module named 'nothing_of_that_name'" in ran.stderr
    assert "another package" not in ran.stderr


def test_it_reads_four_small_files_and_imports_nothing(tmp_path):
    code = (
        "import sys, palimpsest_bench as p; p.check_import_names()\n"
        "sys.exit(str(set(p.PACKAGES) & set(sys.modules)))"
    )
    assert told(["-c", code], tmp_path).stderr.strip() == "set()"


def test_every_package_that_is_installed_is_checked():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert {*wheel} == {*PACKAGES, "palimpsest_bench.py"}
    assert settings["project"]["scripts"] == {"palimpsest": "palimpsest_bench:main"}
    assert settings["project"]["name"] == palimpsest_bench.DISTRIBUTION
    check_import_names()


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
    for name in ("random", "numpy", "signal", "torch", "benchmark", "strategies"):
        package(tmp_path, name, f"raise SystemExit('users {name}')")
    scenario = {"family": "split", "data": "digits", "experiences": 2, "steps": 2, "width": 4}
    suite = {"suite": "s", "scenarios": {"it": scenario}, "strategies": {"finetune": {}}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(suite | {"seeds": 1}))
    script = Path(sysconfig.get_path("scripts"), "palimpsest")
    ran = told([str(script), "run", "s.yaml", "--store", "s.db"], tmp_path)
    assert (ran.returncode, ran.stderr.count("users")) == (0, 0), ran.stderr
    assert "Results: s.db" in ran.stdout
