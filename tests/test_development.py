"""What the README says of installing, developing and testing."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")


def told(*arguments):
    """What make would do, line by line."""
    ran = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@needs_make
def test_what_is_installed_is_said_beforehand_and_seen(tmp_path):
    lines = told("demo", f"VENV={tmp_path / 'new'}")
    install = next(i for i, line in enumerate(lines) if "pip install" in line)
    before = " ".join(lines[:install])
    assert "minutes" in before
    (size,) = re.findall(r"\d+ GB", before)
    assert f" {size}, most of" in (ROOT / "README.md").read_text()
    assert "README" in before
    assert not re.search(r"--quiet|\s-q\b", lines[install])


@needs_make
def test_an_environment_of_ones_own_is_used(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    lines = told("demo", f"VENV={tmp_path}", "CONSTRAINTS=")
    assert not any("-m venv" in line for line in lines)
    (install,) = (line for line in lines if "pip install" in line)
    assert install.startswith(f"{tmp_path}/bin/python -m pip")
    assert "constraints.txt" not in install
    assert any(line.startswith(f"{tmp_path}/bin/palimpsest run quick") for line in lines)


@needs_make
@pytest.mark.parametrize("there", ["other", "gone", "own", None])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("done", [False, True])
def test_an_environment_of_another_folder_is_replaced_only_when_asked(
    tmp_path, there, replace, done
):
    project, bin_folder = tmp_path / "project", tmp_path / "env" / "bin"
    for folder in (project, bin_folder, tmp_path / "other"):
        folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (project / name).write_text((ROOT / name).read_text())
    where = f"Editable project location: {tmp_path / 'project' / '..' / there}" if there else ""
    if there == "own":
        where = f"Editable project location: {project}"
    python = bin_folder / "python"
    python.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$3" != show ] || echo "{where}"\n'
    )
    python.chmod(0o755)
    if done:  # by the other folder's make
        (tmp_path / "env" / ".installed").touch()
    ran = subprocess.run(
        ["make", "VENV=../env", *["REPLACE=1"] * replace, "../env/.installed"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    refused = there == "other" and not replace
    assert (ran.returncode != 0) is refused
    installed = "pip install" in (tmp_path / "calls").read_text()
    assert installed is (not refused and (replace or not done))
    if there == "other":
        assert str(tmp_path / "project" / ".." / "other") in ran.stdout + ran.stderr
    assert ("REPLACE=1" in ran.stderr) is refused


@needs_make
@pytest.mark.parametrize("there", [None, "empty", "environment"])
def test_clean_removes_only_an_environment_that_make_created(tmp_path, there):
    """Of its own it knows by a mark; any other folder may be somebody's, and stays."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    new = tmp_path / "new"
    if there:
        new.mkdir()
    if there == "environment":
        (new / "bin").mkdir()
        (new / "bin" / "python").touch()
    (tmp_path / "build").mkdir()
    for target in ("new/bin/python", "clean"):
        subprocess.run(["make", "VENV=new", "PYTHON=true", target], cwd=tmp_path, check=True)
    assert new.exists() == bool(there)
    assert not (tmp_path / "build").exists()


@needs_make
@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_target_that_a_page_names_is_there(page):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"(?:`|\$ )make(?: [A-Z]+=\S*)* (\w+)", text))
    assert {"test", "lint", "docs"} <= named
    for target in named:
        assert told(target)


def test_the_source_distribution_has_what_the_pages_name():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    include = settings["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    brought = {*include}
    assert {"Makefile", "constraints.txt", "tests", "docs"} <= brought
    for path in brought:
        assert (ROOT / path).exists(), path


def test_real_data_are_looked_for_where_the_readme_says(real_data, tmp_path, monkeypatch):
    name = "a data set of this test"
    (tmp_path / name).mkdir()
    monkeypatch.setenv("PALIMPSEST_DATA", str(tmp_path))
    assert real_data(name) == tmp_path
    monkeypatch.setenv("PALIMPSEST_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(pytest.skip.Exception, match=r"\$PALIMPSEST_DATA nor in ../shared/data"):
        real_data(name)


def test_no_test_looks_for_real_data_by_itself():
    """All go through the fixture, so that ``$PALIMPSEST_DATA`` counts for all."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path.name not in {"conftest.py", Path(__file__).name}:
            assert '"shared" / "data"' not in path.read_text(), path
