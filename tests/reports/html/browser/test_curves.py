"""The curves that a reader touches: the figure's numbers, every seed, and what is asked for."""

import csv
import gzip
import json
import re
from base64 import b64decode

import numpy as np
import pytest

from palimpsest.reports.figures.curves import curves_rows
from palimpsest.reports.figures.drawing.panels import average, first_steps, new_model, panels
from palimpsest.reports.runs.cells import by_scenario, group
from palimpsest.reports.runs.frames import curves_frame

pytestmark = pytest.mark.thorough

FEW = ("two", "five", "three", "one seed", "one model")

READ = """() => {
  const panels = [...document.querySelectorAll(".live:not([hidden]) .panel")];
  return panels.filter((panel) => panel.checkVisibility()).map((panel) => {
    const texts = [...panel.querySelectorAll("text:not(.title):not(.axis)")];
    const at = (anchor, place) => texts.filter((t) => t.getAttribute("text-anchor") === anchor)
      .map((t) => [parseFloat(t.textContent), Number(t.getAttribute(place))]);
    const paths = (group, name) => [...group.querySelectorAll(name)]
      .map((path) => path.getAttribute("d"));
    const read = (group) => ({
      means: paths(group, ".mean"), bands: paths(group, ".band"), seeds: paths(group, ".seed"),
    });
    const lines = [...panel.querySelectorAll(".line")];
    return {
      title: panel.querySelector(".title").textContent,
      axis: panel.querySelector(".axis").textContent,
      across: at("middle", "x"), up: at("end", "y"),
      lines: Object.fromEntries(lines.map((group) => [group.dataset.line, read(group)])),
    };
  });
}"""

INSIDE = """() => {
  const svg = document.querySelector("[data-curves]:not([hidden]) svg:has(.panel)");
  const frame = svg.getBoundingClientRect();
  const out = (inner, outer, room) => inner.left < outer.left - room
    || inner.right > outer.right + room || inner.top < outer.top - room
    || inner.bottom > outer.bottom + room;
  const found = [];
  for (const text of svg.querySelectorAll("text")) {
    if (out(text.getBoundingClientRect(), frame, 1)) found.push(text.textContent);
  }
  for (const panel of svg.querySelectorAll(".panel")) {
    const box = panel.querySelector(".cover").getBoundingClientRect();
    for (const line of panel.querySelectorAll(".mean")) {
      if (out(line.getBoundingClientRect(), box, 2)) found.push(line.getAttribute("d"));
    }
  }
  return [svg.querySelectorAll("text").length, found];
}"""
"""Texts outside the figure, and lines outside their panel."""


@pytest.fixture(scope="session")
def runs(rich):
    return [run for run in rich if run.scenario in FEW]


@pytest.fixture(scope="session")
def report(runs, written):
    return written(runs)


def box(page):
    """The figure of the scenario that is shown."""
    return page.locator("[data-curves]:visible")


def choose(page, scenario):
    page.locator("#choose-scenario").select_option(label=scenario)
    box(page).locator(".panel").first.wait_for()


def cells_of(runs, scenario):
    return by_scenario(group(runs))[scenario]


def reading(ticks, shift=0.0, log=False):
    """From a place to a value, by the ticks of an axis."""
    (a, p), (b, q) = ticks[0], ticks[-1]
    if log:
        a, b = np.log10(1 + np.array([a, b]))
    line = lambda place: a + (np.asarray(place) + shift - p) / (q - p) * (b - a)  # noqa: E731
    return (lambda place: 10 ** line(place) - 1) if log else line


def points(path):
    return np.array(re.findall(r"-?[\d.]+", path), dtype=float).reshape(-1, 2)


def check(drawn, panel, rows, log=False):
    """Every mean, interval and seed of a panel of each row lies where its numbers are."""
    expected = average(panel.frame)
    known = set(expected["variant"])
    for row, own in zip(rows, drawn, strict=True):
        x, y = reading(own["across"], log=log), reading(own["up"], shift=4)
        near = abs(y(1) - y(0)) * 0.06 + 0.006
        cells = [*row.own, *row.compared]
        assert set(own["lines"]) == {c.variant.label for c in cells if c.variant.label in known}
        for label, line in own["lines"].items():
            phases = [p for _, p in expected[expected["variant"] == label].groupby("phase")]
            for phase, path in zip(phases, line["means"], strict=True):
                spots = points(path)
                step = abs(x(1) - x(0)) if not log else 0.2 * (1 + phase["x"].to_numpy())
                assert np.all(np.abs(x(spots[:, 0]) - phase["x"]) <= 0.1 * step + 1e-6)
                assert y(spots[:, 1]) == pytest.approx(phase["mean"].to_numpy(), abs=near)
            wide = [phase for phase in phases if len(phase) > 1]
            for phase, path in zip(wide, line["bands"], strict=bool(line["bands"])):
                low, high = np.split(y(points(path)[:, 1]), 2)
                assert low == pytest.approx(phase["low"].to_numpy(), abs=near)
                assert high[::-1] == pytest.approx(phase["high"].to_numpy(), abs=near)
            seeds = panel.frame[panel.frame["variant"] == label].groupby(["phase", "seed"])
            paths = [one for path in line["seeds"] for one in path.split("M")[1:]]
            for (_, seed), path in zip(seeds, paths, strict=bool(paths)):
                values = 100 * seed.sort_values("x")["accuracy"].to_numpy()
                assert y(points(path)[:, 1]) == pytest.approx(values, abs=near)


def frame_of(rows):
    return curves_frame([cell for row in rows for cell in row.own])


def test_means_bands_and_seeds_are_those_of_the_figure(visit, report, runs):
    page = visit(report, "#training?scenario=two")
    for scenario in FEW:
        choose(page, scenario)
        rows = curves_rows(cells_of(runs, scenario))
        columns = panels(frame_of(rows))
        for seeds in (False, True):
            box(page).get_by_label("seeds one by one").set_checked(seeds)
            some = f"({READ})().some((panel) => Object.values(panel.lines)[0].seeds.length)"
            page.wait_for_function(f"{some} === {str(seeds).lower()}")
            drawn = page.evaluate(READ)
            assert len(drawn) == len(rows) * len(columns)
            for place, panel in enumerate(columns):
                own = drawn[place :: len(columns)]
                assert {(each["title"], each["axis"]) for each in own} == {
                    (panel.title, panel.axis)
                }
                check(own, panel, rows)


def test_first_steps_and_logarithm_are_in_the_address(visit, report, runs):
    page = visit(report, "#training?scenario=two")
    box(page).get_by_label("show").select_option(label="the first 10 steps")
    box(page).get_by_label("logarithmic steps").check()
    page.wait_for_url("**steps=10**")
    again = visit(report, page.url.partition(".html")[2])
    box(again).locator(".panel").first.wait_for()
    assert box(again).get_by_label("logarithmic steps").is_checked()
    rows = curves_rows(cells_of(runs, "two"))
    frame = frame_of(rows)
    frame = frame[frame["step"] <= 10]
    for shown in (page, again):
        drawn = shown.evaluate(READ)
        assert {each["title"] for each in drawn} == {
            "model 1 while model 2 trains, first 10 steps", "model 2, first 10 steps"
        }  # fmt: skip
        check(drawn[::2], first_steps(frame, 10), rows, log=True)
        check(drawn[1::2], new_model(frame), rows, log=True)


def test_a_point_tells_its_numbers_and_a_click_shows_its_strategy(visit, report, runs):
    page = visit(report, "#training?scenario=two")
    rows = curves_rows(cells_of(runs, "two"))
    panel = panels(frame_of(rows))[0]
    last = average(panel.frame).groupby("variant").last()
    cover = box(page).locator(".cover").first
    cover.focus()
    says = box(page).get_by_role("status")
    told = set()
    for _ in (*rows[0].own, *rows[0].compared):
        page.keyboard.press("ArrowDown")
        told.add(says.text_content())
    assert told == {
        f"{cell.variant.label}; step {one['x']:g}; {one['mean']:.1f} % "
        f"[{one['low']:.1f}, {one['high']:.1f}], 4 seeds"
        for cell in (*rows[0].own, *rows[0].compared)
        for one in (last.loc[cell.variant.label],)
    }
    page.keyboard.press("ArrowLeft")
    assert f"step {sorted(panel.frame['x'].unique())[-2]:g};" in says.text_content()
    assert page.locator(".tip circle").count() == 4
    page.keyboard.press("Escape")
    assert page.locator(".tip").is_hidden()
    for _ in range(1 + len(rows[0].own) + len(rows[0].compared)):  # beyond the last curve
        page.keyboard.press("ArrowDown")
    assert box(page).locator(".cover").nth(1).evaluate("one => one === document.activeElement")
    page.keyboard.press("ArrowDown")
    strategy = says.text_content().partition(",")[0].partition(";")[0]
    page.keyboard.press("Enter")
    assert f"only={strategy}" in page.url
    faded = box(page).locator(".line.faded").count()
    lines = box(page).locator(".line")
    own = lines.evaluate_all("all => all.map((e) => e.dataset.strategies)")
    assert faded == sum(json.loads(each) != [strategy] for each in own) > 0
    assert page.locator("#verdicts-two tr.faded").count() > 0


def test_a_finger_reads_a_point(visit, report, runs):
    small = {"width": 400, "height": 860}
    page = visit(report, "#training?scenario=two", has_touch=True, viewport=small)
    box(page).locator(".cover").first.scroll_into_view_if_needed()
    mean = box(page).locator(".mean").first.bounding_box()
    page.touchscreen.tap(mean["x"] + mean["width"] / 2, mean["y"] + mean["height"] / 2)
    assert "seed" in page.locator(".tip").inner_text()


def test_its_numbers_are_saved_every_seed(visit, report, runs):
    page = visit(report, "#training?scenario=three")
    frame = curves_frame(
        [c for c in cells_of(runs, "three") if c.done and c.variant.kind != "joint"]
    )
    with page.expect_download() as waited:
        page.locator("button:visible[data-curves-csv]").click()
    rows = list(csv.DictReader(waited.value.path().read_text().splitlines()))
    frame = frame.sort_values(["variant", "seed", "trained", "model", "step"])
    names = ("variant", "seed", "training", "model", "step")
    rows.sort(key=lambda row: (row["variant"], *(int(row[name]) for name in names[1:])))
    assert [row["variant"] for row in rows] == frame["variant"].tolist()
    for name, own, shift in zip(
        names[1:], ("seed", "trained", "model", "step"), (0, 1, 1, 0), strict=True
    ):
        assert [int(row[name]) for row in rows] == (frame[own] + shift).tolist()
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(
        frame["accuracy"].tolist(), abs=6e-5
    )

    href = page.locator("a:visible[download$='curves.json.gz']").get_attribute("href")
    packed = json.loads(gzip.decompress(b64decode(href.partition(",")[2])))
    assert sum(len(line) for c in packed["curves"] for line in c["accuracy"]) == len(rows)


def test_a_run_shows_its_own_curves(visit, report, runs):
    page = visit(report, "#runs?scenario=two&search=strategy:wpl+seed:2&status=done")
    run = next(r for r in runs if (r.scenario, r.strategy, r.seed) == ("two", "wpl", 2))
    page.locator("#runs-table tbody button.link").first.click()
    own = page.locator("#run-page .panel")
    own.wait_for()
    lines = {}
    for line in own.locator(".line").all():
        paths = line.locator(".mean").evaluate_all("all => all.map((e) => e.getAttribute('d'))")
        lines[line.get_attribute("data-line")] = paths
    ticks = own.locator("text[text-anchor=end]").evaluate_all(
        "all => all.map((t) => [parseFloat(t.textContent), Number(t.getAttribute('y'))])"
    )
    y = reading(ticks, shift=4)
    for model, paths in enumerate(lines.values()):
        curves = [c["accuracy"][model] for c in run.curves if model < len(c["accuracy"])]
        for values, path in zip(curves, paths, strict=True):
            assert y(points(path)[:, 1]) == pytest.approx(100 * np.array(values), abs=0.1)
    assert list(lines) == ["model 1", "model 2"]


@pytest.mark.parametrize("width", [1400, 400])
def test_all_of_it_lies_inside_and_can_be_reached(visit, report, width):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(report, "#training?scenario=five", viewport={"width": width, "height": 900})
    box(page).locator(".panel").first.wait_for()
    count, outside = page.evaluate(INSIDE)
    assert count > 50
    assert outside == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page, context="#training").response["violations"]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"]][:3]) for v in found] == []
