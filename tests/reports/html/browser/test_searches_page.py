"""The first screen of a search: verdicts, and forgetting against gain beside them."""

from searching import searches

from palimpsest.reports.html.report import write_report


def test_forgetting_and_gain_stand_beside_the_verdicts(visit, record, tmp_path):
    runs = [run for run in searches(record) if run.scenario in {"fast", "alone"}]
    write_report(runs, tmp_path / "r.html", sources=["runs.db"], command="report")
    page = visit(tmp_path / "r.html", viewport={"width": 1200, "height": 850})
    page.select_option("#choose-scenario", label="fast")
    board = page.locator("#verdicts-fast").bounding_box()
    figure = page.locator("#figure-scenario-fast-gains").bounding_box()
    assert abs(board["y"] - figure["y"]) < 40
    assert board["x"] + board["width"] < figure["x"]
    assert figure["y"] + figure["height"] < 850
    assert page.locator("#visits-question").is_visible()
    page.locator("#figure-scenario-fast-rankings-truth [data-mark]").first.hover()
    assert "true error" in page.locator("body").inner_text()
