"""Every figure of a page shows what it claims: all of it, inside its axes, and legibly."""

from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
from figure_checks import check, laid_out, marks, ordered
from matplotlib.collections import LineCollection
from rich_store import LONG, PULLED

from palimpsest.benchmark.suites.spec import Spec
from palimpsest.reports.analysis.choosing.variants import Catalog
from palimpsest.reports.analysis.quantities import quantity_named
from palimpsest.reports.figures.drawing.style import Styles
from palimpsest.reports.figures.growth import PANELS
from palimpsest.reports.markdown.album import Album
from palimpsest.reports.markdown.illustrated import IllustratedStudy
from palimpsest.reports.runs.cells import group

SIX = ["finetune", "ewc@1", "wpl@1", "wpl@1e3", "freeze", "independent"]
STRENGTHS = (0.0, 0.5, 1.0, 10.0, 1e2, 1e3, 1e4, 1e8)


@pytest.fixture(scope="module")
def album(rich):
    styles = Styles({(record.facts, record.strategy) for record in rich})
    album = Album(PurePosixPath("figures"))
    paper = IllustratedStudy(rich, Catalog.of("paper", group(rich)), styles, album)
    read_off = {"model": 1, "variant": "wpl@1", "steps": [0, 400], "accuracy": [9, 100]}
    paper.curves("curves", scenarios=["two", "one seed"], variants=[*SIX, "wpl@chosen"], first=10,
                 reference={"two": {"their": read_off}})  # fmt: skip
    five = ["two", "one seed", "steady", "two", "one seed"]
    paper.curves("narrow", scenarios=five, variants=["finetune", "ewc@1", "wpl@1"],
                 labels={"two": LONG, "one seed": f"{LONG} too", "wpl@1": LONG})  # fmt: skip
    places = {"two": 1, "one seed": 2, "steady": 40}
    four = ["first_after", "lost", "removed", "seconds_per_step"]
    lines = {"scenarios": places, "variants": ["finetune", "ewc@1", "wpl@1", "ewc@1e6"]}
    given = {"first_after": {"wpl@1": {1: 100, 2: 0, 45: 3}}}
    paper.lines("lines", **lines, quantities=four, axis="layers", reference=given)
    paper.lines("ranges", **lines, quantities=["backward_transfer", "forgetting", "plasticity"])
    series = {"all": {s: f"wpl@{s}" for s in STRENGTHS}, LONG: {1: "ewc@1", 1e3: "ewc@1e3"}}
    series |= {f"line {place}": {1: "ewc@1", 1e6: "ewc@1e6"} for place in range(10)}
    paper.lines("series", scenario="five", series=series, variants=["finetune", "freeze"],
                axis="strength")  # fmt: skip
    rows, columns = [LONG, "b"], [*"defghij", f"{LONG}?"]
    paper.map("map", rows, columns[:2], lambda row, column: "two" if row == "b" else "steady",
              "finetune")  # fmt: skip
    paper.map("wide", rows, columns, lambda row, column: "two", "finetune")
    names = ["two", "three", "one seed", "steady", "two"]
    paper.frontier("frontier", scenarios=names[:1], strategies=["ewc", "wpl", "si"])
    paper.frontier("lost", scenarios=["three"], strategies=["ewc", "wpl", PULLED])
    paper.growth("growth", scenarios=["five", "twenty"], variants=["finetune", "freeze", "joint"],
                 labels={"five": LONG})  # fmt: skip
    paper.growth("equal", scenarios=["two"], variants=SIX)
    return album


@pytest.fixture(scope="module")
def figures(album):
    return {plot.name: (plot, laid_out(plot)) for plot in album.plots}


def test_all_is_inside_and_legible(figures):
    problems = {name: found for name, (_, figure) in figures.items() if (found := check(figure))}
    assert problems == {}


def lines_in(ax):
    """The curves of variants, (n, 2) each."""
    (drawn,) = (c for c in ax.collections if isinstance(c, LineCollection))
    return [np.asarray(line) for line in drawn.get_segments()]


def joined(ax):
    """The means of variants that a line joins; no levels, and no points read off elsewhere."""
    lines = [line for line in ax.lines if line.get_linestyle() != "None"]
    return [line for line in lines if line.get_marker() not in {"", "None"}]


@pytest.mark.parametrize(("name", "first"), [("curves", 10), ("narrow", None)])
def test_curves_show_both_models_to_the_last_step(figures, name, first):
    plot, figure = figures[name]
    frame = plot.data[plot.data["trained"] == 1]
    scenarios = {"curves": ["two", "one seed"],
                 "narrow": ["two", "one seed", "steady", "two", "one seed"]}[name]  # fmt: skip
    rows = [(0, None), (1, None)] + ([(0, first)] if first else [])
    panels = [(model, end, scenario) for model, end in rows for scenario in scenarios]
    assert len(panels) == len(figure.axes)
    for ax, (model, end, scenario) in zip(figure.axes, panels, strict=True):
        part = frame[(frame["scenario"] == scenario) & (frame["model"] == model)]
        part = part if end is None else part[part["step"] <= end]
        means = 100 * part.groupby(["variant", "step"], observed=True)["accuracy"].mean()
        drawn = lines_in(ax)
        assert len(drawn) >= means.index.get_level_values(0).nunique()
        last = part["step"].max()
        for line in drawn:
            x, y = line.T
            assert (x[0], x[-1]) == (0, last)
            assert any(
                list(y) == pytest.approx([means[label, step] for step in x])
                for label in means.index.get_level_values(0).unique()
            )
        low, high = ax.get_xlim()
        read_off = 400 if (scenario, model, name) == ("two", 1, "curves") else 0
        assert low <= 0 and max(last, read_off) <= high <= 1.02 * max(last, read_off)


def test_thinned_curves_keep_both_ends(study, fabricated):
    """Steps that are no multiple of the distance between measurements, and many of them."""
    steps = [*range(0, 1001, 3), 1003]
    records = [
        replace(run, curves=[{**curve, "steps": steps,
                              "accuracy": [[0.5] * len(steps) for _ in curve["accuracy"]]}
                             for curve in run.curves])
        for run in fabricated("k1", 0.1)
    ]  # fmt: skip
    paper = study(records)
    paper.curves("c", variants=["finetune"])
    plot = paper._album.plots[-1]
    for ax in laid_out(plot).axes:
        (line,) = lines_in(ax)
        x = line[:, 0]
        assert (x[0], x[-1]) == (0, 1003) and 50 < len(x) <= 240


@pytest.mark.parametrize("name", ["lines", "ranges", "series"])
def test_lines_show_every_mean_at_its_place(figures, name):
    plot, figure = figures[name]
    for ax, (quantity, frame) in zip(
        figure.axes, plot.data.groupby("quantity", sort=False), strict=True
    ):
        known = frame.dropna(subset=["mean"])
        drawn = joined(ax)
        assert len(drawn) == known["line"].nunique()
        scale = quantity_named(quantity).scale
        for line, (_, own) in zip(drawn, known.groupby("line", sort=False), strict=True):
            assert line.get_xydata() == pytest.approx(
                np.column_stack([own["x"], scale * own["mean"]])
            )
        low, high = ax.get_xlim()
        assert low < plot.data["x"].min() and plot.data["x"].max() < high
        if known.empty:
            assert [text.get_text() for text in ax.texts] == ["no values"]
    scales = {"lines": "log", "ranges": "log", "series": "symlog"}
    assert {ax.get_xscale() for ax in figure.axes} == {scales[name]}


def test_ticks_are_places_that_were_measured(figures):
    for name in ("lines", "series"):
        plot, figure = figures[name]
        for ax in figure.axes:
            assert set(ax.get_xticks()) <= set(plot.data["x"])
            assert [float(t.get_text().replace(",", "")) for t in ax.get_xticklabels()] == \
                list(ax.get_xticks())  # fmt: skip


@pytest.mark.parametrize("name", ["frontier", "lost"])
def test_frontiers_show_every_point(figures, name):
    plot, figure = figures[name]
    expected = 100 * plot.data[["learning_accuracy", "stability"]].dropna()
    assert marks(figure.axes[0]) == pytest.approx(ordered(expected))


@pytest.mark.parametrize(("name", "scenarios"), [("growth", [LONG, "twenty"]), ("equal", ["two"])])
def test_growth_shows_every_model(figures, name, scenarios):
    plot, figure = figures[name]
    for row, scenario in enumerate(scenarios):
        for ax, panel in zip(figure.axes[3 * row : 3 * row + 3], PANELS, strict=True):
            here = plot.data[(plot.data["scenario"] == scenario) & (plot.data["panel"] == panel)]
            drawn = [line.get_xydata() for line in ax.lines if len(line.get_xdata())]
            expected = [own[["models", "mean"]] for _, own in here.groupby("variant")]
            assert len(drawn) == len(expected)
            for own in expected:
                assert any(
                    len(one) == len(own) and one == pytest.approx(own.to_numpy()) for one in drawn
                )


def test_lines_of_a_figure_look_different(rich):
    """Also the chosen strength beside the same one, and many strategies of one kind."""
    own = {(c.variant.strategy, c.variant.strength): c for c in group(rich) if c.scenario == "two"}
    shown = {f"wpl@{s:g}": own["wpl", s] for s in (1.0, 1e3, 1e6)}
    shown |= {"wpl@chosen": own["wpl", 1e3]}
    for copy in range(3):
        runs = [replace(run, strategy=f"copy{copy}", spec=Spec({**run.spec.data, "strategy": {
            **run.spec.strategy.data, "name": f"copy{copy}"}}))
            for cell in shown.values() for run in cell.done]  # fmt: skip
        shown |= {f"copy{copy}@chosen": group(runs)[0]}
    looks = Styles().of(shown)
    assert len({(look.color, look.linestyle) for look in looks.values()}) == len(shown)
    assert looks["wpl@1"].linestyle == looks["wpl@1000"].linestyle == "-"
