"""A run's own page in the report, and two runs beside each other."""

from dataclasses import replace

import pytest

from palimpsest.benchmark.runs.failure import Failure, FailureKind

WPL = {"samples": 100, "fisher": "exact"}


@pytest.fixture(scope="session")
def report(record, written):
    matrix = [[0.91, 0.12], [0.512, 0.83]]
    runs = [
        record(matrix, strategy=name, strength=strength, seed=seed, settings=settings)
        for name, strength, settings in (
            ("finetune", None, {}),
            ("wpl", 10.0, WPL),
            ("ewc", 10.0, {"samples": 200, "fisher": "exact"}),
        )
        for seed in (0, 1)
    ]
    runs[2] = replace(runs[2], cost={"training_seconds": [1.25, 2.5], "state_bytes": 4096})
    failed = record(strategy="wpl", strength=100.0, error="x", settings=WPL)
    told = "Traceback (most recent call last):\n  <b>here</b>"
    failure = Failure(FailureKind("error"), "ValueError: bad", told)
    return written([*runs, replace(failed, failure=failure)])


def row(page, *words):
    found = page.locator("#runs-table tbody tr")
    for word in words:
        found = found.filter(has_text=word)
    return found.first


def own(page):
    return page.locator("#run-page")


def texts(table):
    return [r.locator("th, td").all_inner_texts() for r in table.locator("tbody tr").all()]


def test_a_run_opens_its_page(visit, report):
    page = visit(report)
    assert not own(page).is_visible()
    row(page, "wpl", "done").get_by_role("button", name="Open").press("Enter")
    title = own(page).locator("h4")
    assert title.inner_text() == "same, wpl, strength 10, seed 0"
    assert title.evaluate("e => e === document.activeElement")
    assert texts(own(page).locator("table")) == [
        ["before any training", "10.0", "10.0"],
        ["after model 1", "91.0", "12.0"],
        ["after model 2", "51.2", "83.0"],
    ]
    facts = dict(
        line.locator("dt, dd").all_inner_texts() for line in own(page).locator("dl div").all()
    )
    assert facts["strategy.settings.samples"] == "100"
    assert facts["seed"] == "0"
    own(page).get_by_text("Time and memory").click()
    assert "[1.25, 2.5]" in own(page).inner_text()
    own(page).get_by_text("Made with").click()
    assert "2.15.0" in own(page).inner_text()
    own(page).get_by_role("button", name="Close").click()
    assert not own(page).is_visible()


def test_a_failed_run_shows_its_traceback_as_text(visit, report):
    page = visit(report)
    row(page, "ValueError").get_by_role("button", name="Open").click()
    assert "<b>here</b>" in own(page).locator("pre").inner_text()
    assert own(page).locator("table").count() == 0


def test_probes_of_a_run(visit, written, record):
    values = {"moved": 1.23456, "relative": 0.5, "from_anchor": None, "weighted": None}
    rows = [{"model": 1, "block": block, **values} for block in ("trunk_0", None)]
    quantiles = {"q0": 0.0, "q0.5": 2e-9, "q1": 1.0}
    importance = [{"model": 0, "block": "trunk_0", "mean": 0.1, "zero": 0.0, **quantiles}]
    probes = {
        "distance": {"rows": rows},
        "importance": {"rows": importance},
        "similarity": {"absent": "none"},
    }
    run = replace(record([[0.9, 0.1], [0.5, 0.8]]), probes=probes)
    page = visit(written([run]))
    row(page, "finetune").get_by_role("button", name="Open").click()
    for summary in own(page).locator("summary", has_text="Probe").all():
        summary.click()
    assert own(page).locator("summary", has_text="Probe").count() == 2
    assert texts(own(page).locator("table").nth(1)) == [
        ["2", "trunk_0", "1.23", "0.5", "–", "–"],
        ["2", "all shared blocks", "1.23", "0.5", "–", "–"],
    ]
    assert texts(own(page).locator("table").nth(2)) == [["1", "trunk_0", "0.1", "0", "2e-9"]]


def test_two_runs_show_what_differs_and_nothing_else(visit, report):
    page = visit(report)
    row(page, "wpl", "done").get_by_role("checkbox").check()
    assert not own(page).is_visible()
    row(page, "ewc", "done").get_by_role("checkbox").check()
    assert texts(own(page).locator("table")) == [
        ["strategy.name", "wpl", "ewc"],
        ["strategy.strategy", "wpl", "ewc"],
        ["strategy.settings.samples", "100", "200"],
    ]
    row(page, "finetune").get_by_role("checkbox").check()  # the first of three gives way
    assert not row(page, "wpl", "done").get_by_role("checkbox").is_checked()
    assert ["strategy.settings.samples", "200", "not set"] in texts(own(page).locator("table"))
