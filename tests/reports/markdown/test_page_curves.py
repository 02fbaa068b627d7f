"""Curves of a page, for two models and for more."""

from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
from figure_checks import check, laid_out
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from page_parts import cells, drawn

from palimpsest.benchmark.errors import UserError
from palimpsest.reports.figures.drawing.style import Styles


def curve(figure, panel, color):
    """The points of the curve of one colour in a panel, (n, 2)."""
    (lines,) = (c for c in figure.axes[panel].collections if isinstance(c, LineCollection))
    colors = [to_hex(own) for own in lines.get_colors()]
    (found,) = (x for x, own in zip(lines.get_segments(), colors, strict=True) if own == color)
    return np.asarray(found)


def test_curves_are_means_over_seeds(study, runs):
    paper = study(runs)
    paper.curves("c", scenarios=["k3"], variants=["wpl@1e4"], first=50)
    figure, _ = drawn(paper)
    own = cells(runs)["wpl", 1e4].done
    color = Styles().of({"wpl@1e4": cells(runs)["wpl", 1e4]})
    points = curve(figure, 2, color["wpl@1e4"].color)
    assert list(points[:, 0]) == list(range(51))
    for step in (0, 1, 17, 50):
        expected = fmean(run.curves[1]["accuracy"][0][step] for run in own)
        assert points[step, 1] == pytest.approx(100 * expected)
    whole = curve(figure, 1, color["wpl@1e4"].color)
    assert whole[-1] == pytest.approx([500, 100 * fmean(r.accuracy_matrix[1][1] for r in own)])


GIVEN = {"model": 0, "variant": "finetune", "steps": [0, 500], "accuracy": [92, 60]}


def test_curves_read_off_elsewhere_have_the_colour_of_their_variant(study, runs):
    paper = study(runs)
    paper.curves("a", scenarios=["k3"], variants=["finetune"], reference={"k3": {"plain": GIVEN}})
    figure, _ = drawn(paper)
    (points,) = (line for line in figure.axes[0].lines if line.get_linestyle() == "None")
    assert points.get_xydata().tolist() == [[0, 92], [500, 60]]
    assert points.get_markeredgecolor() == "#222222"
    (legend,) = figure.legends
    assert "read off the paper’s figure" in [text.get_text() for text in legend.get_texts()]
    marks = [line for line in legend.get_lines() if line.get_marker() == "o"]
    assert [mark.get_markeredgecolor() for mark in marks] == ["#222222"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"k5": {}}, "'k5' is not in the figure; expected one of: k3"),
        ({"k3": {"x": {**GIVEN, "model": 2}}}, "write 0 for A or 1 for B"),
        ({"k3": {"x": {**GIVEN, "variant": "fintune"}}}, "did you mean 'finetune'"),
        ({"k3": {"x": {**GIVEN, "steps": [0]}}}, "1 steps, but 2 accuracies"),
        ({"k3": {"x": {**GIVEN, "steps": 3}}}, "lists of numbers"),
        ({"k3": {"x": {**GIVEN, "steps": [0, "a"]}}}, "lists of numbers"),
        ({"k3": {"x": 3}}, "not a mapping"),
        ({"k3": {"x": {"model": 0}}}, "give model, variant, steps, accuracy"),
        ({"k3": {"x": {**GIVEN, "colour": "red"}}}, "'colour'"),
    ],
)
def test_references_that_fit_nowhere(study, runs, reference, message):
    with pytest.raises(UserError, match=message):
        study(runs).curves("a", scenarios=["k3"], variants=["finetune"], reference=reference)


def test_curves_of_many_models_average_the_earlier_ones(study, runs):
    many = study(runs, "sequence")
    many.curves("a", variants=["finetune", "wpl@1e4"], first=20)
    figure, plot = drawn(many)
    assert [ax.get_ylabel().split(",")[0] for ax in figure.axes] == [
        "earlier models", "model in training", "earlier models",
    ]  # fmt: skip
    for panel in (0, 1):
        (lines,) = (c for c in figure.axes[panel].collections if isinstance(c, LineCollection))
        assert len(lines.get_segments()) == 2 * 3  # three later models, each a line
    own = cells(runs, "many")["wpl", 1e4].done
    color = to_hex(lines.get_colors()[-1])
    last = [x for x, c in zip(lines.get_segments(), lines.get_colors(), strict=True)
            if to_hex(c) == color][-1]  # fmt: skip
    assert last[-1, 1] == pytest.approx(100 * fmean(run.accuracy_matrix[3][3] for run in own))
    first = curve(figure, 2, color)
    expected = fmean(
        run.curves[trained]["accuracy"][model][7]
        for run in own
        for trained in (1, 2, 3)
        for model in range(trained)
    )
    # The mean of a seed is over all earlier models of all switches.
    assert first[7] == pytest.approx([7, 100 * expected])
    assert "second model begins" in plot.caption
    assert check(laid_out(plot)) == []


def test_curves_need_a_later_model_and_curves(study, runs, record):
    one = [record([[0.9]], curves=[{"model": 0, "steps": [0, 5], "accuracy": [[0.1, 0.9]]}])]
    with pytest.raises(UserError, match="this scenario has one model"):
        study(one).curves("a", variants=["finetune"])
    with pytest.raises(
        UserError, match="points are shown only in scenarios of two models; this one"
    ):
        study(runs, "sequence").curves("a", variants=["finetune"], reference={"many": {"x": GIVEN}})
    blind = [replace(run, curves=[]) for run in runs]
    with pytest.raises(UserError, match="no finished run has curves"):
        study(blind).curves("a", scenarios=["k3"], variants=["finetune"])
