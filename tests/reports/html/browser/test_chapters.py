"""A report of several suites: one is shown at a time, and the address says which."""

import pytest
from test_answer import baselines, board, scenarios

from palimpsest.reports.html.report import write_report


@pytest.fixture(scope="session")
def report(record, tmp_path_factory):
    runs = [
        record(
            [[0.9, 0.1], [place / 10 + 0.01 * seed, 0.8]], strategy=name, seed=seed, suite=suite,
            scenario=scenario, started=f"2026-0{month}-01T10:00:00+00:00",
            curves=[{"model": 0, "steps": [0, 10], "accuracy": [[0.1, 0.1 * month]]}],
        )
        for month, suite, names, found in (
            (3, "early", ("freeze", "ewc"), ("same",)),
            (5, "late", ("finetune", "wpl"), ("same", "turned")),
        )
        for scenario in found
        for place, name in enumerate(names, 5)
        for seed in range(4)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("chapters") / "report.html"
    write_report(runs, path, sources=["store.db"], command="palimpsest report store.db")
    return path


def test_one_suite_is_shown_at_a_time_the_newest_first(visit, report):
    page = visit(report)
    assert set(board(page)) == {"finetune", "wpl"}
    assert page.locator("[data-chapter] h2.chapter:visible").all_inner_texts() == ["late"]
    scenarios(page).select_option(value="early-same")
    assert set(board(page)) == {"freeze", "ewc"}
    assert page.locator("h2.chapter:visible").all_inner_texts() == ["early"]
    assert baselines(page).locator("option:checked").inner_text() in {"freeze", "ewc"}
    assert page.locator(".board:visible [data-baseline]").inner_text() in {"freeze", "ewc"}
    assert page.locator("[data-plane]:visible svg >> nth=0").bounding_box()["height"] > 100


def test_the_names_of_the_suites_lead_to_them(visit, report):
    page = visit(report)
    page.get_by_role("link", name="early", exact=True).click()
    assert page.locator("h2.chapter:visible").all_inner_texts() == ["early"]
    page.get_by_role("link", name="late", exact=True).click()
    assert page.locator("h2.chapter:visible").all_inner_texts() == ["late"]


def test_an_address_leads_to_a_suite_that_is_not_shown(visit, report):
    page = visit(report, at="#early-ranking")
    assert page.locator("h2.chapter:visible").all_inner_texts() == ["early"]
    assert scenarios(page).locator("option:checked").inner_text() == "same"
    again = visit(report, at="#late-answer?scenario=early-same")
    assert again.locator("h2.chapter:visible").all_inner_texts() == ["late"]


def test_a_run_shows_the_curves_of_its_own_suite(visit, report):
    page = visit(report)
    for suite, strategy, last in (("early", "ewc", "30.0"), ("late", "wpl", "50.0")):
        scenarios(page).select_option(value=f"{suite}-same")
        page.locator("#runs-search").fill(f"{strategy} seed:1")
        page.locator("#runs-table tbody tr").get_by_role("button", name="Open").press("Enter")
        box = page.locator("#run-page .card.live")
        box.wait_for(state="visible")
        cover = box.locator(".cover")
        cover.focus()
        cover.press("ArrowRight")
        cover.press("ArrowRight")
        assert f"{last} %" in box.locator("[role=status]").inner_text()
