"""Marks and names of strategies in figures and tables: they tell, and they choose."""

import pytest


@pytest.fixture(scope="session")
def report(store, written):
    return written([run for run in store if not run.error])


@pytest.fixture
def page(visit, report):
    page = visit(report, viewport={"width": 1400, "height": 900})
    page.get_by_label("Scenario", exact=True).select_option(label="split")
    return page


def figure(page, kind):
    name = f"ranking-split-{kind}" if kind == "means" else f"scenario-split-{kind}"
    return page.locator(f"#figure-{name}")


def tip(page):
    return page.locator(".tip")


def told(mark):
    """What a mark says, from its label; all spaces are plain."""
    return " ".join(mark.get_attribute("aria-label").split()).split("; ")


def said(page):
    """What is told of the mark that is touched."""
    return [" ".join(line.split()) for line in tip(page).inner_text().splitlines()]


def lit(page, root="body"):
    """The strategies of what does not fade."""
    script = """root => [...document.querySelector(root).querySelectorAll("[data-strategies]")]
      .filter((e) => !e.closest(".faded")).map((e) => JSON.parse(e.dataset.strategies))"""
    return {tuple(names) for names in page.evaluate(script, root)}


def test_every_mark_tells_under_the_pointer_and_with_the_focus(page):
    for kind, tag in (("means", "g"), ("sweep", "use"), ("matrices", "path")):
        marks = figure(page, kind).locator(f"{tag}.telling[role=button]")
        assert marks.count() > 8
        for mark in (marks.nth(8), marks.last):
            mark.scroll_into_view_if_needed()
            mark.hover()
            assert said(page) == told(mark)
            # A ratio of means has no value for each seed.
            seeds = 0 if "reduction" in said(page)[1] else 5 if "5 seeds" in said(page) else 0
            assert tip(page).locator("svg circle").count() == seeds
            page.mouse.move(2, 2)
            assert not tip(page).is_visible()
    assert page.locator(".seen").count() == 0


@pytest.mark.thorough
def test_near_a_mark_is_enough_and_between_marks_is_nothing(page):
    mark = figure(page, "sweep").locator("use.telling").first
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    assert box["width"] < 10
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 11, y)
    assert said(page)[0] == told(mark)[0]
    page.mouse.move(x - 30, y)
    assert not tip(page).is_visible()
    page.mouse.move(x - 11, y)
    page.mouse.click(x - 11, y)
    assert {names for names in lit(page) if len(names) == 1} == {("ewc",)}


def test_a_figure_is_one_stop_and_arrows_go_from_mark_to_mark(page):
    own = figure(page, "sweep")
    marks = own.locator("[role=button]")
    assert own.locator("[tabindex='0']").count() == 1
    assert own.get_attribute("tabindex") is None
    names = ["; ".join(told(mark)) for mark in marks.all()]
    assert len(names) == len(set(names)) > 18
    page.locator("[data-picture='ranking-split-means'][data-kind=SVG]").focus()
    marks.first.focus()
    here = "document.activeElement.ariaLabel.replaceAll('\xa0', ' ')"
    for key, place in (
        ("ArrowRight", 1),
        ("ArrowDown", 2),
        ("ArrowLeft", 1),
        ("End", -1),
        ("ArrowRight", -1),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert page.evaluate(here) == names[place]
        assert "; ".join(said(page)) == names[place]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.card')") is None
    assert not tip(page).is_visible()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(here) == names[1]  # where the reader was
    assert tip(page).is_visible()
    page.keyboard.press("Escape")
    assert not tip(page).is_visible()
    page.keyboard.press("Enter")
    assert "only=" in page.evaluate("location.hash")
    page.keyboard.press("Space")
    assert "only=" not in page.evaluate("location.hash")


MEANS = "#figure-ranking-split-means g.telling"
CHOICES = {
    "a point": f"{MEANS}[aria-label^='ewc']:not(:has(text))",
    "a label of an axis": f"{MEANS}:has-text('ewc')",
    "the title of a panel": "#figure-scenario-split-sweep g.telling:has-text('ewc')",
    "an entry of a matrix": "#figure-scenario-split-matrices path.telling[aria-label^='ewc']",
    "a row of a table": "#models .group:visible th button:has-text('ewc')",
    "a run": "#runs-table td button:has-text('ewc')",
}


@pytest.mark.thorough
def test_a_strategy_stands_alone_wherever_it_is_clicked(page):
    page.get_by_role("searchbox").fill("seed:0")  # the runs of all strategies on one page
    parts = ("#answer", "#ranking", "#protection", "#models", "#runs-table")
    everything = {part: lit(page, part) for part in parts}
    assert all(len(names) > 1 for names in everything.values())
    for place in CHOICES.values():
        mark = page.locator(place).first
        mark.scroll_into_view_if_needed()
        mark.click()
        assert "only=ewc" in page.evaluate("location.hash"), place
        for part in parts:
            assert ("ewc",) in lit(page, part), (place, part)
            assert all("ewc" in names for names in lit(page, part)), (place, part)
        mark.click()
        assert "only" not in page.evaluate("location.hash"), place
    assert {part: lit(page, part) for part in parts} == everything


@pytest.mark.thorough
def test_what_faded_is_in_reach_and_names_say_that_they_are_pressed(page):
    names = page.locator("#models .group:visible th button")
    texts = names.all_inner_texts()
    assert {text.split(",")[0] for text in texts} >= {"finetune", "ewc", "wpl", "joint"}
    pressed = "all => all.map(e => [e.innerText.split(',')[0], e.getAttribute('aria-pressed')])"
    assert {state for _, state in names.evaluate_all(pressed)} == {"false"}
    names.filter(has_text="wpl").first.press("Enter")
    assert all((state == "true") == (name == "wpl") for name, state in names.evaluate_all(pressed))
    row = page.locator("#models .group:visible tr.faded").first
    # What goes by under a heading must not show: its words fade, not the heading.
    opacity = "e => [e, e.firstElementChild].map((part) => getComputedStyle(part).opacity)"
    assert row.locator("th").evaluate(opacity) == ["1", "0.18"]
    other = figure(page, "means").locator("g.telling.faded[role=button]").last
    assert float(other.evaluate("e => getComputedStyle(e).opacity")) < 0.5
    other.hover()
    assert said(page)[0] == told(other)[0]
    panel = figure(page, "sweep").locator("g.faded[data-mark]:has(g.faded)").first
    inner = panel.locator(".faded").first
    assert float(inner.evaluate("e => getComputedStyle(e).opacity")) == 1  # fades once, not twice


@pytest.mark.thorough
def test_a_finger_sees_what_a_mark_tells(visit, report):
    page = visit(report, has_touch=True, viewport={"width": 400, "height": 900})
    page.get_by_label("Scenario", exact=True).select_option(label="split")
    mark = figure(page, "sweep").locator("use.telling").first
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.touchscreen.tap(box["x"] - 5, box["y"] + box["height"] / 2)
    assert said(page) == told(mark)
    assert "only=ewc" in page.evaluate("location.hash")
    page.locator("#protection h4:visible").last.tap()
    assert not tip(page).is_visible()


@pytest.mark.thorough
def test_lines_and_names_of_legends_choose_but_not_what_is_about_several(visit, report):
    page = visit(report)
    bar = page.locator("#figure-ranking-all-ranks g.telling[aria-label*='not significantly']").first
    bar.focus()  # and so in view
    box = bar.evaluate("e => e.getBoundingClientRect().toJSON()")  # a line without height
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert " and " in said(page)[0]
    assert "only=" not in page.evaluate("location.hash")
    names = page.locator("#figure-ranking-all-profile g.telling:has(text)")
    assert "wpl" in [text.strip() for text in names.all_text_contents()]
    line = page.locator("#figure-ranking-all-profile path.telling[aria-label^=wpl]")
    line.focus()
    page.keyboard.press("Enter")
    assert ("wpl",) in lit(page, "#figure-ranking-all-profile")
    assert ("ewc",) not in lit(page, "#figure-ranking-all-profile")


@pytest.mark.thorough
def test_paper_and_pages_without_scripts_have_nothing_of_it(page, visit, report):
    page.locator("#models .group:visible th button").first.click()
    page.locator("#figure-ranking-split-means g.telling").first.hover()
    assert page.locator(".faded").count() > 20
    page.emulate_media(media="print")
    assert not tip(page).is_visible()
    opacity = "all => [...new Set(all.map(e => getComputedStyle(e).opacity))]"
    assert page.locator(".faded").evaluate_all(opacity) == ["1"]
    plain = visit(report, java_script_enabled=False)
    assert plain.locator("[data-mark][tabindex], th button:visible:not(.board button)").count() == 0
