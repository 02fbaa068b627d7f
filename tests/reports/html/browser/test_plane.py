"""The plane that a reader touches: it shows what the figure shows, and answers."""

import re

import pytest

from palimpsest.reports.analysis.frontier import frontiers
from palimpsest.reports.figures.drawing.style import styles
from palimpsest.reports.html.live import plane_data
from palimpsest.reports.runs.cells import by_scenario, group


@pytest.fixture(scope="session")
def single(store, written):
    return written([run for run in store if run.scenario == "same data"])


@pytest.fixture(scope="session")
def data(store):
    cells = by_scenario(group([run for run in store if run.scenario == "same data"]))["same data"]
    return plane_data(frontiers(cells), styles(cells))


def marks(page):
    return page.locator("[data-plane]:visible .mark")


def tip(page):
    return page.locator(".tip")


def test_it_has_the_points_of_the_figure(store, data):
    cells = by_scenario(group(store))["split"]
    for each in (data, plane_data(frontiers(cells), styles(cells))):
        found = {
            (line["strategy"], point["at"]): point
            for line in each["lines"]
            for point in line["points"]
        }
        for cell in cells if each is not data else []:
            x, y = cell.interval("learning_accuracy"), cell.interval("stability")
            key = cell.variant.strategy, cell.variant.setting.removeprefix("strength ")
            if x.value is None:
                assert key not in found
                continue
            ends = [100 * end for end in (x.value, x.low, x.high)]
            assert found[key]["x"] == pytest.approx(ends, abs=1e-3)
            assert found[key]["y"][0] == pytest.approx(100 * y.value, abs=1e-3)
            assert len(found[key]["seeds"]) == y.n
            assert found[key]["told"][0] == cell.variant.label
    levels = {line["strategy"]: line["levels"] for line in each["lines"]}
    assert len(levels["joint"]) == 1  # it has an order of models in neither, and no x in this one


@pytest.mark.thorough
@pytest.mark.parametrize("width", [1400, 800, 400])
def test_all_marks_and_words_lie_inside(visit, single, data, width):
    page = visit(single, viewport={"width": width, "height": 900})
    frame = page.locator("[data-plane]:visible svg").first.bounding_box()
    assert frame["width"] > 0.4 * min(width, 1400)
    assert marks(page).count() == sum(len(line["points"]) for line in data["lines"])
    for mark in [*marks(page).all(), *page.locator("[data-plane]:visible svg > * text").all()]:
        box = mark.bounding_box()
        assert box["x"] >= frame["x"] - 1
        assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
        assert box["y"] >= frame["y"] - 1
        assert box["y"] + box["height"] <= frame["y"] + frame["height"] + 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_marks_stand_where_their_numbers_are(visit, single, data):
    """Ticks give the scale: each mark's middle, read off them, is its mean."""
    page = visit(single)
    script = """() => {
      const svg = document.querySelector("[data-plane]:not([hidden]) svg");
      const ticks = [...svg.querySelectorAll(":scope > text:not(.axis)")];
      const at = (anchor, place) => ticks.filter((t) => t.getAttribute("text-anchor") === anchor)
        .map((t) => [Number(t.textContent), Number(t.getAttribute(place))]);
      const grid = [...svg.querySelectorAll(".grid")].map((g) => Number(g.getAttribute("y1")));
      const marks = [...svg.querySelectorAll(".mark")].map((m) => m.getAttribute("transform"));
      return [at("middle", "x"), at("end", "y"), marks];
    }"""
    across, up, transforms = page.evaluate(script)

    def reading(ticks, shift=0.0):
        (a, p), (b, q) = ticks[0], ticks[-1]
        return lambda place: a + (place + shift - p) / (q - p) * (b - a)

    x, y = reading(across), reading(up, shift=4)  # a label's baseline is 4 below its tick
    places = [tuple(map(float, re.findall(r"-?[\d.]+", each)[:2])) for each in transforms]
    found = sorted((x(a), y(b)) for a, b in places)
    means = sorted((p["x"][0], p["y"][0]) for line in data["lines"] for p in line["points"])
    assert [value for pair in found for value in pair] == pytest.approx(
        [value for pair in means for value in pair], abs=0.05
    )


@pytest.mark.thorough
def test_a_mark_tells_its_numbers_and_shows_its_seeds(visit, single, data):
    page = visit(single)
    told = {p["told"][0]: p for line in data["lines"] for p in line["points"]}
    for how in ("hover", "focus"):
        mark = page.locator("[data-plane]:visible .mark[aria-label^='wpl, strength 1e6']")
        getattr(mark, how)()
        assert tip(page).is_visible()
        lines = tip(page).inner_text().splitlines()
        assert lines == told["wpl, strength 1e6"]["told"]
        assert page.locator("[data-plane]:visible .seeds circle").count() == 5
        page.mouse.move(0, 0)
        mark.blur()
        assert not tip(page).is_visible()
        assert page.locator("[data-plane]:visible .seeds circle").count() == 0


@pytest.mark.thorough
def test_the_plane_is_one_stop(visit, single):
    page = visit(single)
    marks = page.locator("[data-plane]:visible .mark")
    assert page.locator("[data-plane]:visible .mark[tabindex='0']").count() == 1
    marks.first.focus()
    page.keyboard.press("ArrowRight")
    focused = "e => e === document.activeElement"
    assert marks.nth(1).evaluate(focused)
    assert page.locator(".tip").inner_text()
    page.keyboard.press("End")
    assert marks.last.evaluate(focused)
    page.keyboard.press("Tab")
    assert page.locator(".keys:visible button").first.evaluate(focused)
    page.keyboard.press("Shift+Tab")
    assert marks.last.evaluate(focused)


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["mark", "legend", "table", "keyboard"])
def test_a_strategy_alone(visit, single, how):
    page = visit(single)
    mark = page.locator("[data-plane]:visible .mark[aria-label^='ewc, strength 1e6']")
    do = {
        "mark": mark.click,
        "legend": page.locator(".keys:visible button", has_text="ewc").click,
        "table": page.locator(".board:visible button", has_text="ewc").click,
        "keyboard": lambda: mark.press("Enter"),
    }[how]

    def faded():
        script = "all => all.map(e => [JSON.parse(e.dataset.strategies)[0], e.matches('.faded')])"
        return page.locator("[data-strategies]").evaluate_all(script)

    assert not any(gone for _, gone in faded())
    do()
    assert {name: gone for name, gone in faded() if name == "ewc"} == {"ewc": False}
    assert all(gone for name, gone in faded() if name != "ewc")
    assert "only=ewc" in page.evaluate("location.hash")
    do()
    assert not any(gone for _, gone in faded())
    assert "only" not in page.evaluate("location.hash")


@pytest.mark.thorough
def test_on_paper_and_without_scripts_there_is_the_figure(visit, single):
    page = visit(single)
    assert page.locator("[data-plane]:visible").count() == 1
    assert page.locator(".half > .static:visible").count() == 0
    page.emulate_media(media="print")
    assert page.locator("[data-plane]:visible").count() == 0
    assert page.locator(".half > .static:visible").count() == 1
    page = visit(single, java_script_enabled=False)
    assert page.locator("[data-plane]:visible").count() == 0
    assert page.locator(".half > .static:visible").count() == 1
