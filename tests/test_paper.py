"""The suites of the paper's study and their page, in a form small enough for a test."""

from pathlib import Path

import pytest
import yaml

from benchmark.cli import main
from benchmark.suite import load_suite

PAPER = Path(__file__).parents[1] / "configs" / "paper"
SUITES = sorted(path.stem for path in PAPER.glob("*.yaml"))
STEPS = [0, 1, 2, 4, 6, 8]
"""Of the small form, in place of the steps at which the page compares curves."""


def left(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


def small(suite):
    """The suite with the same cells, on few samples of a small data set, with one seed."""
    content = yaml.safe_load((PAPER / f"{suite}.yaml").read_text())
    for scenario in content["scenarios"].values():
        scenario |= {"data": "digits", "samples": 100, "steps": 8, "width": 4}
        if scenario.get("second_data") == "fashion_mnist":
            scenario["second_data"] = "digits"
        if scenario["curve"]["every"]:
            scenario["curve"] |= {"every": 1}
    for entry in content["strategies"].values():
        if entry.get("strategy") == "wpl_schur":
            entry["samples"] = 2
    return content | {"seeds": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    for suite in SUITES:
        path = folder / f"{suite}.yaml"
        path.write_text(yaml.safe_dump(small(suite), sort_keys=False))
        assert left("run", path, "--store", folder / "paper.db", "--quiet") == 0
    return folder / "paper.db"


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_shipped_and_says_what_it_is(suite):
    found = load_suite(f"paper/{suite}")
    assert found.name == suite
    assert len(yaml.safe_load((PAPER / f"{suite}.yaml").read_text())["description"]) > 40


def test_no_scenario_of_one_suite_is_that_of_another(tmp_path):
    # A store keeps a run once, for the suite that first asked for it.
    seen = {}
    for suite in SUITES:
        for run in load_suite(f"paper/{suite}").runs("cpu", tmp_path):
            assert seen.setdefault(run.key, suite) == suite, run


def test_the_page_is_made_from_the_suites(store, tmp_path):
    template = (PAPER / "reproduction.md.j2").read_text()
    full = "[0, 100, 250, 500, 1000, 1500]"
    assert full in template
    path = tmp_path / "page.md.j2"
    path.write_text(template.replace(full, str(STEPS)))
    assert left("page", path, "--store", store, "--out", tmp_path / "page.md") == 0
    text = (tmp_path / "page.md").read_text()
    for suite in SUITES:
        assert f"configs/paper/{suite}.yaml" in text
    figures = {path.name for path in (tmp_path / "page").iterdir()}
    assert figures == {part.split(")")[0] for part in text.split("](page/")[1:]}


def test_the_page_in_the_documentation_is_from_this_template():
    page = (PAPER.parents[1] / "docs" / "reproduction.md").read_text()
    headings = [line for line in (PAPER / "reproduction.md.j2").read_text().splitlines()
                if line.startswith("## ")]  # fmt: skip
    assert headings
    assert [line for line in page.splitlines() if line.startswith("## ")] == headings
    for part in page.split("](reproduction/")[1:]:
        assert (PAPER.parents[1] / "docs" / "reproduction" / part.split(")")[0]).exists()
