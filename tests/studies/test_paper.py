"""The paper's study: its suites, the published runs and search, and the pages made from them."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.store.archive import read_archive
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.configs.paper.figure3_loop import PAPER as FIGURE_3
from palimpsest.configs.paper.figure3_loop import STEPS, Options, Row, harness_settings
from palimpsest.configs.paper.figure3_search import (
    COUNT,
    FOURTH,
    SEEDS,
    draw_settings,
    nearest,
    neighbours,
)
from palimpsest.reports.markdown.csv_rows import read_rows

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "configs" / "paper"
DOCS = ROOT / "docs"
PUBLISHED = DOCS / "reproduction"
SUITES = sorted(path.stem for path in PAPER.glob("*.yaml"))
PAGES = {"reproduction": "reproduction.md.j2", "reproduction-tables": "tables.md.j2"}


def left(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


@pytest.fixture(scope="module")
def published():
    return read_archive(PUBLISHED / "runs.parquet")


def test_the_published_runs_are_those_of_the_suites(published, tmp_path):
    # Of every setting. No run is asked for by two suites: a store keeps it once.
    wanted = {}
    for suite in SUITES:
        for run in load_suite(f"paper/{suite}").runs("cpu", tmp_path):
            assert wanted.setdefault(run.key, suite) == suite, run
    assert {record.key: record.suite for record in published} == wanted


def test_the_runs_that_failed_are_gradient_forms_that_diverged(published):
    failed = [record for record in published if record.status == "failed"]
    kinds = Counter((record.suite, record.scenario, record.strategy) for record in failed)
    allowed = {("strength", "turned_sgd", "wpl_gradient")}
    allowed |= {("regimes", f"momentum_0.1_{data}", "finetune")
                for data in ("same", "turned", "permuted", "fashion")}  # fmt: skip
    assert kinds.keys() <= allowed
    assert all("NaN or infinite" in record.error for record in failed)


def test_the_files_to_download_are_small():
    assert sum(path.stat().st_size for path in PUBLISHED.iterdir()) < 20e6


@pytest.mark.parametrize(
    "page", [pytest.param("reproduction", marks=pytest.mark.thorough), "reproduction-tables"]
)
def test_the_published_page_is_that_of_the_published_runs(page, tmp_path):
    # Its text: figures depend on the version of Matplotlib. Where a change of templates or of
    # `reports` is meant to change it, make both pages again, see "Check it" on the page.
    made = tmp_path / f"{page}.md"
    template = PUBLISHED / PAGES[page]
    assert left("page", template, "--store", PUBLISHED / "runs.parquet", "--out", made) == 0
    text = made.read_text()
    assert text == (DOCS / f"{page}.md").read_text()
    for part in text.split(f"]({page}/")[1:]:
        assert (DOCS / page / part.split(")")[0]).exists()
    for suite in SUITES:
        assert f"configs/paper/{suite}.yaml" in text


def test_the_page_and_the_search_read_the_same_off_the_figure():
    template = (PUBLISHED / "reproduction.md.j2").read_text()
    front = next(yaml.safe_load_all(template.split("\n---\n")[0]))
    for panel, curves in front["figure_3"].items():
        for kind in ("plain", "wpl"):
            for model, letter in enumerate("AB"):
                own = curves[f"{letter} {kind}"]
                assert (own["steps"], own["model"]) == ([0, *STEPS], model)
                assert tuple(own["accuracy"][1:]) == FIGURE_3[panel[0]][kind][model]


def test_the_setting_of_figure_3_is_the_nearest_that_the_search_found():
    rows = [searched(row) for row in read_rows(PUBLISHED, "figure3-search.csv")]
    finalists = {row.setting for row in rows if row.seed == SEEDS[-1] and row.setting < COUNT}
    drawn, strength = nearest(rows, finalists)
    around = neighbours(draw_settings(COUNT)[drawn])
    assert {row.setting for row in rows} == set(range(COUNT + len(around)))
    fourth = [r for r in rows if r.seed in SEEDS[:FOURTH] and r.strength in {0.0, strength}]
    best, _ = nearest(fourth, range(COUNT, COUNT + len(around)))
    _, strength = nearest(rows, [best])
    suite = load_suite("paper/figure3")
    own = suite.scenarios["a_converged"]
    found = harness_settings(Options("mnist", Path()), around[best - COUNT], None)
    assert own == type(own).model_validate(found | {"curve": own.curve})
    assert strength in suite.strategies["wpl"].strengths


def searched(row):
    a, b = (tuple(row[f"{letter}_{step}"] for step in STEPS) for letter in "ab")
    return Row(row["setting"], row["panel"], float(row["strength"]), row["seed"], 0.0, a, b)
