import re
from dataclasses import replace
from pathlib import PurePosixPath
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
from known_facts import facts_of
from matplotlib.figure import Figure
from page_parts import cells, drawn

from palimpsest.benchmark.errors import UserError
from palimpsest.reports.analysis.choosing.variants import Catalog
from palimpsest.reports.analysis.remarks.instability import last_is_unstable
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.style import Styles, series_styles
from palimpsest.reports.figures.pages.growth import growth_frame
from palimpsest.reports.formats.svg import small_svg, svg_element
from palimpsest.reports.markdown.album import Album
from palimpsest.reports.markdown.illustrated import IllustratedStudy
from palimpsest.reports.runs.cells import group


def series(figure, panel, color):
    """The points of the line of one colour in a panel, (n, 2)."""
    (line,) = (x for x in figure.axes[panel].lines if x.get_color() == color and len(x.get_xdata()))
    return np.array(line.get_xydata(), dtype=float)


def test_lines_over_settings_of_one_scenario(study, runs):
    paper = study(runs)
    own = {"exact": {100: "wpl@1e2", 10_000: "wpl@1e4"}, "other": {100: "l2@1e2"}}
    paper.lines("l", scenario="k3", series=own, variants=["freeze"], axis="samples")
    figure, plot = drawn(paper)
    assert [ax.get_xscale() for ax in figure.axes] == ["log"] * 2  # they span a factor of 100
    color = series_styles(list(own))["exact"].color
    points = series(figure, 1, color)
    assert points[:, 0].tolist() == [100, 10_000]
    values = [paper.value("k3", variant, "second").mean for variant in ("wpl@1e2", "wpl@1e4")]
    assert points[:, 1] == pytest.approx(values)
    assert set(plot.data["line"]) == {"exact", "other"}
    level = paper.value("k3", "freeze", "second").mean
    assert level in [pytest.approx(line.get_ydata()[0]) for line in figure.axes[1].lines]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"scenario": "k3"}, {"scenarios": {"k3": 1}, "scenario": "k3", "series": {"a": {}}}],
)
def test_lines_are_over_one_thing(study, runs, arguments):
    with pytest.raises(UserError, match="give scenarios="):
        study(runs).lines("l", variants=["finetune"], **arguments)


def test_lines_refuse_references_without_a_line(study, runs):
    where = {"scenarios": {"k1": 1, "k3": 3}, "variants": ["finetune"]}
    with pytest.raises(UserError, match="'secnd' is not in the figure; did you mean 'second'"):
        study(runs).lines("l", **where, reference={"secnd": {}})
    with pytest.raises(UserError, match="expected one of: finetune"):
        study(runs).lines("l", **where, reference={"second": {"wpl@1e4": {1: 90}}})


@pytest.mark.parametrize(
    "cell",
    ["k{column}", {("r", "1"): "k1", ("r", "3"): "k3"}, lambda row, column: f" k{column}\n"],
)
def test_a_map_says_what_a_loses_and_how_bad_b_is(study, runs, cell):
    paper = study(runs)
    paper.map("m", ["r"], ["1", "3"], cell, "finetune")
    figure, plot = drawn(paper)
    for _, row in plot.data.iterrows():
        scenario = f"k{row['column']}"
        assert 100 * row["lost"] == pytest.approx(paper.value(scenario, "finetune", "lost").mean)
        second = paper.value(scenario, "finetune", "second")
        assert 100 * row["second_worst"] == pytest.approx(second.minimum)
        texts = " ".join(text.get_text() for text in figure.axes[0].texts)
        assert f"B {second.bare}, worst {second.worst}" in texts
    assert "Hatched" not in plot.caption


def test_unstable_training_is_hatched_and_said(study, fabricated):
    runs = [
        replace(run, accuracy_matrix=[run.accuracy_matrix[0], [run.accuracy_matrix[1][0], 0.2]])
        if (run.scenario, run.seed) == ("k1", 2)
        else run
        for run in [*fabricated("k1", 0.1), *fabricated("k3", 0.3)]
    ]
    assert last_is_unstable(cells(runs, "k1")["finetune", None])
    assert not last_is_unstable(cells(runs, "k3")["finetune", None])
    paper = study(runs)
    paper.map("m", ["r"], ["k1", "k3", "none"], {("r", "k1"): "k1", ("r", "k3"): "k3"}, "finetune")
    figure, plot = drawn(paper)
    assert [bool(patch.get_hatch()) for patch in figure.axes[0].patches if patch.get_width() == 1] \
        == [True, False]  # fmt: skip
    assert "Hatched: runs failed, or some seeds of B are far below all others" in plot.caption


def test_maps_may_share_a_scale(study, runs):
    """The same loss has the same colour, whatever else a map shows; the scale names its end."""
    paper = study(runs)
    shades = []
    for columns, top in ((["1"], 60), (["1", "3"], 60), (["1"], None)):
        paper.map(f"m{len(shades)}", ["r"], columns, "k{column}", "finetune", top=top)
        figure, _ = drawn(paper)
        shades.append(figure.axes[0].patches[0].get_facecolor())
        if top:
            assert figure.axes[1].get_yticks()[-1] == top == figure.axes[1].get_ylim()[1]
    assert shades[0] == shades[1] != shades[2]
    with pytest.raises(UserError, match=r"ends at 20 points, and A loses up to 3\d\.\d; give"):
        paper.map("m", ["r"], ["1", "3"], "k{column}", "finetune", top=20)


def test_frontiers_go_through_all_strengths_and_name_what_failed(study, runs):
    paper = study(runs)
    paper.frontier("f", scenarios=["k3"], strategies=["wpl", "wpl_gradient"])
    figure, plot = drawn(paper)
    frame = plot.data.set_index("variant")
    assert set(frame.index) == {
        "finetune", "freeze", *(f"wpl, strength {s}" for s in ("100", "1e4", "1e6")),
        *(f"wpl_gradient, strength {s}" for s in ("100", "1e4", "1e6")),
    }  # fmt: skip
    value = paper.value("k3", "wpl@1e4", "first_after")
    assert 100 * frame.loc["wpl, strength 1e4", "stability"] == pytest.approx(value.mean)
    assert frame.loc["wpl_gradient, strength 1e6", "diverged"] == 4
    margin = figure.axes[1]
    crosses = [line for line in margin.lines if line.get_marker() == "x"]
    assert len(crosses) == 1
    assert {"wpl_gradient", "4"} == {text.get_text() for text in margin.texts}
    assert [text.get_text() for text in margin.get_xticklabels()] == ["1e6"]
    assert "A cross marks a strength that lost seeds" in plot.caption
    looks = {line.get_linestyle() for line in figure.axes[0].lines if len(line.get_xdata()) == 2}
    assert "--" in looks  # the gradient's


def test_growth_against_plain_loops(runs):
    cell = cells(runs, "many")["wpl", 1e4]
    frame = growth_frame(cell).set_index(["panel", "models"])
    matrices = [run.accuracy_matrix for run in cell.done]
    for t in range(4):
        found = frame.loc["new", t + 1]["mean"]
        assert found == pytest.approx(100 * fmean(m[t][t] for m in matrices))
        if t:
            earlier = fmean(fmean(m[t][j] for j in range(t)) for m in matrices)
            lost = fmean(fmean(m[j][j] - m[t][j] for j in range(t)) for m in matrices)
            assert frame.loc["earlier", t + 1]["mean"] == pytest.approx(100 * earlier)
            assert frame.loc["forgotten", t + 1]["mean"] == pytest.approx(100 * lost)
    assert len(frame) == 4 + 3 + 3
    assert (frame["low"] < frame["mean"]).all() and (frame["mean"] < frame["high"]).all()


def test_captions_name_the_strengths_that_were_chosen(study, runs):
    paper, many = study(runs), study(runs, "sequence")
    names = {"wpl": "WPL", "k1": "a: one", "k3": "b: three"}
    shown = ["finetune", "wpl@chosen", "l2@chosen", "wpl@1e2"]
    paper.curves("c", "Both.", variants=shown, labels=names)
    paper.lines("l", scenarios={"k1": 1, "k3": 3}, variants=shown, labels=names)
    for plot in paper._album.plots:
        said = re.search(r"Strengths, chosen on validation data: (.*?)\. ", plot.caption)[1]
        expected = []
        for place, scenario in (("a", "k1"), ("b", "k3")):
            wpl, l2 = (paper.strength(scenario, f"{name}@chosen") for name in ("wpl", "l2"))
            wpl = re.sub(r"(\S+) \((\d) of 4 seeds\), (\S+) \((\d)\)",
                         r"\1 (\2 seeds) and \3 (\4)", wpl)  # fmt: skip
            expected.append(f"{place}: WPL {wpl}, l2 {l2}")
        assert said == "; ".join(expected)
    many.growth("g", variants=["l2@chosen", "freeze"])
    assert "validation data: l2 1e4. After" in many._album.plots[-1].caption
    series = {"x": {1: "wpl@1e2", 2: "wpl@chosen"}}
    paper.lines("s", scenario="k3", series=series, variants=["l2@chosen"])
    assert "validation data: wpl 1e6, l2 1e4. Means" in paper._album.plots[-1].caption
    paper.curves("n", variants=["wpl@1e2"])
    assert "validation" not in paper._album.plots[-1].caption


def test_a_kind_keeps_its_colour_in_every_figure(runs):
    own = cells(runs)
    looks = Styles(alike=["wpl_gradient"])
    one = looks.of({"wpl@1e4": own["wpl", 1e4]})
    two = looks.of({"l2@1e4": own["l2", 1e4], "wpl@chosen": own["wpl", 1e6]})
    gradient = looks.of({"wpl_gradient@1e2": own["wpl_gradient", 1e2]})
    assert one["wpl@1e4"] == two["wpl@chosen"]
    assert gradient["wpl_gradient@1e2"].color == one["wpl@1e4"].color
    assert gradient["wpl_gradient@1e2"].linestyle != one["wpl@1e4"].linestyle
    assert two["l2@1e4"].color != one["wpl@1e4"].color
    others = [(facts_of("si"), "si"), (facts_of("mine"), "mine")]
    assert Styles(others).of({"wpl@1e4": own["wpl", 1e4]}) == one


def test_small_files_draw_the_same_lines():
    """Paths are written relatively: they must end where they did, to a tenth of a point."""
    rng = np.random.default_rng(0)
    values = rng.random(300)

    def draw():
        figure = Figure(figsize=(4, 3))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.plot(values)
        ax.fill_between(range(300), values, values + 1)
        ax.set_title("größer")
        return figure

    plot = Plot("", "", "A walk", pd.DataFrame(), draw, name="walk")
    whole, small = svg_element(plot), small_svg(plot).decode()
    assert "größer" in small and "sans-serif" in small
    before = [
        p
        for p in re.findall(r'\bd="([^"]*)"', whole)
        if set("MLz") >= set(re.findall("[A-Za-z]", p))
    ]
    after = [p for p in re.findall(r'\bd="(M[^"]*)"', small) if "C" not in p]
    assert len(before) == len(after) > 5
    longest = 0
    for absolute, relative in zip(before, after, strict=True):
        expected = np.array(re.findall(r"-?[\d.]+", absolute), dtype=float).reshape(-1, 2)
        steps = np.array(re.findall(r"-?[\d.]+", relative), dtype=float).reshape(-1, 2)
        assert np.abs(steps.cumsum(axis=0) - expected).max() < 0.051
        assert absolute.rstrip().endswith("z") == relative.endswith("z")
        longest = max(longest, len(steps))
    assert longest > 250
    assert small_svg(plot).decode() == small


def test_brackets_in_descriptions_do_not_break_the_link():
    plot = Plot("", "Caption.", "wpl [old.db]", pd.DataFrame(), Figure)
    text = Album(PurePosixPath("page")).add("a", plot, "")
    assert text == "![wpl (old.db)](page/a.svg)\n\n**Figure 1.** Caption."


def test_ranks_are_average_places_over_seeds_and_scenarios(fabricated):
    """Of strategies at their chosen strengths, computed here by a plain loop."""
    runs = [
        run for place, loss in enumerate((0.1, 0.3, 0.2)) for run in fabricated(f"k{place}", loss)
    ]
    catalog = Catalog.of("paper", group(runs))
    study = IllustratedStudy(runs, catalog, [], Album(PurePosixPath("figures")))
    text = study.ranks("order", "Said before.", labels={"freeze": "frozen"})
    (plot,) = study._album.plots
    assert "Said before." in text
    assert "critical difference" in text
    end = {}
    for choice in catalog.choices:
        for record in choice.reported.done:
            mean = np.mean(record.accuracy_matrix[-1])
            end.setdefault((choice.scenario, record.seed), {})[choice.strategy] = mean
    names = list(end["k0", 0])
    average = {
        name: np.mean([1 + sum(own[n] > own[name] for n in names) for own in end.values()])
        for name in names
    }
    figure = plot.draw()
    told = "\n".join(text.get_text() for text in figure.axes[0].texts)
    for name, rank in average.items():
        name = {"freeze": "frozen"}.get(name, name)
        assert f"{rank:.2f}, {name}" in told or f"{name}, {rank:.2f}" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ["average_acuracy"]}, "average_accuracy"),
        ({"scenarios": ["k1", "k3"]}, "three or more scenarios"),
        ({"scenarios": ["k1", "k2"]}, "no runs of a scenario 'k2'"),
    ],
)
def test_ranks_refuse_what_cannot_be_ranked(runs, arguments, message):
    catalog = Catalog.of("paper", group([run for run in runs if run.suite == "paper"]))
    study = IllustratedStudy(runs, catalog, [], Album(PurePosixPath("figures")))
    with pytest.raises(UserError, match=message):
        study.ranks("order", **arguments)


def test_a_chosen_strength_at_the_end_of_its_range_is_told(study, runs):
    """The noise of the fabricated runs aside, the strongest WPL keeps most, and forgets least."""
    paper = study(runs)
    chosen = paper.strength("k3", "wpl@chosen")
    assert chosen.startswith("1e6")
    assert paper.at_end("k3", "wpl")
    within = study([run for run in runs if run.strategy != "wpl" or run.strength != 1e6])
    assert within.strengths("k3", "wpl") == ["100", "1e4"]
    assert within.at_end("k3", "wpl")
    alone = study([run for run in runs if run.strategy != "wpl" or run.strength == 1e6])
    assert not alone.at_end("k3", "wpl")
    swap = {1e4: 1e6, 1e6: 1e4}
    middle = study([replace(run, strength=swap.get(run.strength, run.strength)) for run in runs])
    assert middle.strength("k3", "wpl@chosen").startswith("1e4")
    assert not middle.at_end("k3", "wpl")
