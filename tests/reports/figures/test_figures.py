import re
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from figure_checks import laid_out

from palimpsest.reports.analysis.frontier import frontiers
from palimpsest.reports.figures.curves import strategy_curves_plot
from palimpsest.reports.figures.drawing.labels import ems, lines_of, wrapped
from palimpsest.reports.figures.drawing.overlap import layers, nested
from palimpsest.reports.figures.drawing.panels import average, panels
from palimpsest.reports.figures.drawing.rows import rows_of
from palimpsest.reports.figures.drawing.style import styles
from palimpsest.reports.figures.frontier import Plane, plane_plot
from palimpsest.reports.figures.matrices import heatmaps_plot
from palimpsest.reports.formats.svg import svg_element
from palimpsest.reports.runs.cells import group
from palimpsest.reports.runs.frames import curves_frame

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def cells(store):
    return [cell for cell in group(store) if cell.scenario == "same data"]


def look(cells):
    return styles(cells)


def draw(cells, name="f"):
    plane = [Plane("", frontiers(cells))]
    plots = {
        "curves": strategy_curves_plot(cells, look(cells)),
        "heatmaps": heatmaps_plot(cells),
        "plane": plane_plot(plane, look(cells), axes=("x", "y"), labelled=True),
    }
    return tuple(
        plot and svg_element(replace(plot, name=f"{name}-{own}")) for own, plot in plots.items()
    )


@pytest.fixture(scope="module")
def drawn(cells):
    return draw(cells)


def words(svg):
    return [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_figures_are_deterministic_named_and_leave_no_state(cells, drawn):
    before = dict(mpl.rcParams)
    first = draw(cells)
    assert first == drawn
    assert dict(mpl.rcParams) == before
    assert mpl._pylab_helpers.Gcf.get_all_fig_managers() == []
    for svg in first:
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == root.find(f"{SVG}title").text
        assert "<metadata" not in svg
        assert re.search(r"20\d\d-\d\d-\d\d", svg) is None


def test_identifiers_are_unique_across_figures_and_resolve(cells, drawn):
    figures = [*drawn, *draw(cells[:2], "other")]
    known = [name for svg in figures for name in re.findall(r'\sid="([^"]+)"', svg)]
    assert len(known) == len(set(known))
    used = [n for svg in figures for n in re.findall(r'(?:url\(#|xlink:href="#)([^)"]+)', svg)]
    assert used
    assert set(used) <= set(known)


@pytest.mark.parametrize(
    ("steps", "title"),
    [
        ([*range(11), 150, 300], "model 1, first 10 steps"),
        ([*range(51), 150, 300], "model 1, first 50 steps"),
        ([*range(81), 150, 300], "model 1, first 50 steps"),
        ([*range(5), 150, 300], "model 1 while model 2 trains"),
    ],
)
def test_the_first_panel_goes_as_far_as_was_measured_step_by_step(record, steps, title):
    curves = [
        {"model": i, "steps": steps, "accuracy": [[0.5] * len(steps)] * (i + 1)} for i in range(2)
    ]
    frame = curves_frame(group([record([[0.5] * 2] * 2, curves=curves)]))
    assert panels(frame)[0].title == title


def test_average_over_seeds_by_hand(record):
    def one(seed, value):
        curves = [{"model": 0, "steps": [0], "accuracy": [[value]]}]
        return record([[value]], seed=seed, curves=curves)

    def averaged(*values):
        cells = group([one(seed, value) for seed, value in enumerate(values)])
        (panel,) = panels(curves_frame(cells))
        (row,) = average(panel.frame).to_dict("records")
        return row["mean"], row["low"], row["high"]

    # Of two seeds there is no interval: from the one to the other.
    assert averaged(0.4, 0.6) == pytest.approx((50, 40, 60))
    # s = 0.1155, t(0.975, 3) = 3.1824
    assert averaged(0.4, 0.6, 0.4, 0.6) == pytest.approx((50, 31.63, 68.37), abs=0.01)
    assert averaged(1.0, 0.8, 1.0, 0.8)[2] == 100


def test_dense_curves_are_thinned_but_keep_ends_and_dips(record):
    steps = list(range(3000))
    values = [0.5 + 0.1 * (step % 2) for step in steps]
    values[1234], values[2000] = 0.1, 0.9
    curves = [{"model": 0, "steps": steps, "accuracy": [values]}]
    (panel,) = panels(curves_frame(group([record([[0.5]], curves=curves)])))
    found = average(panel.frame).set_index("x")["mean"]
    assert len(found) <= 240
    assert (found.index.min(), found.index.max()) == (0, 2999)
    assert (found[1234], found[2000]) == pytest.approx((10, 90))
    assert list(found.index) == sorted(found.index)


def test_strategies_keep_one_colour_and_strengths_differ(cells):
    style = look(cells)
    of = {name: [s for v, s in style.items() if v.strategy == name] for name in ("wpl", "ewc")}
    assert len({s.base for s in of["wpl"]}) == 1
    assert len({s.color for s in of["wpl"]}) == 3
    assert of["wpl"][0].base != of["ewc"][0].base
    assert of["wpl"][0].marker != of["ewc"][0].marker


def test_rows_hold_a_strategy_each_and_never_too_many(cells, record):
    labels = [[cell.variant.label for cell in row] for row in rows_of(cells)]
    assert labels[0] == ["finetune", "freeze", "independent", "joint"]
    assert all(label.startswith("wpl") for label in labels[2])
    many = group([record([[0.5]], strategy="wpl", strength=float(s)) for s in range(1, 15)])
    assert [len(row) for row in rows_of(many)] == [6, 6, 2]


def test_names_are_shown_as_they_are_written(record):
    name = "_a <b> & $x_1$"
    plot = heatmaps_plot(group([record([[0.9]], strategy=name)]))
    assert name in "".join(words(svg_element(plot)))


def test_long_names_keep_both_ends():
    name = "a strategy of quite some length whose name says all that it does, strength 1e3"
    text = wrapped(name, 20)
    assert text.count("\n") == 2 and max(map(len, text.split("\n"))) <= 20
    assert text.startswith("a strategy") and text.endswith("strength 1e3") and " … " in text
    assert wrapped(name, 80) == name
    assert wrapped("w" * 100, 10).count("\n") == 2
    assert lines_of([name, "b"], 40) == 2 and lines_of([], 40) == 1


@pytest.mark.parametrize("letter", "WM策")
def test_wide_names_have_fewer_letters_in_a_line(letter):
    text = wrapped(letter * 100, 30)
    assert 15 < max(map(len, text.split("\n"))) < 30
    assert max(map(ems, text.split("\n"))) <= 0.63 * 30  # a usual letter has 0.6
    assert len(wrapped("i" * 90, 30).split("\n")[0]) == 30


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", ["v{}", "WWWMMM_WMMWWMM_{}", "策略策略策略策略 {}"])
def test_names_of_any_width_and_number_are_inside_the_figure(record, name):
    runs = [
        record([[0.9, 0.1], [0.5 + i / 100, 0.9]], strategy=name.format(i), kind="l2", seed=seed)
        for i in range(1, 36)
        for seed in range(2)
    ]
    cells = group(runs)
    plane = plane_plot([Plane("", frontiers(cells))], look(cells), axes=("x", "y"))
    figure = laid_out(plane)
    (legend,) = figure.legends
    box, (width, height) = legend.get_window_extent(), figure.bbox.size
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    assert len(legend.get_texts()) == 35


def test_lines_that_coincide_are_wider_below():
    one, other = [(0, 1.0), (1, 2.0)], [(0, 1.0), (1, 3.0)]
    same = [(0, 1.0), (1, 2.0 + 1e-12)]
    assert layers([one, other, same, one, []]) == [2, 0, 1, 0, 0]
    assert layers([[(0, 0.0)], [(0, -0.0)]]) == [1, 0]
    first, _, second, third, _ = nested([one, other, same, one, []], 1.4)
    assert first > second + 1 > third + 2 and third == 1.4
    assert max(nested([one] * 20, 1.4)) < 7
