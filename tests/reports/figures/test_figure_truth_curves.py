"""Curves of a report show every recorded point, from the first step to the last."""

import re
from dataclasses import replace

import numpy as np
import pytest
from figure_checks import check, each, laid_out, over_seeds
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex

from palimpsest.reports.figures.drawing.style import styles
from palimpsest.reports.figures.strategy_curves import strategy_curves_plot
from palimpsest.reports.runs.cells import group


@pytest.fixture(scope="module")
def look(rich):
    return styles(group(rich))


def shown(frame, title):
    """What a panel of curves has to show: rows with the place x, and the phase of a line."""
    later, own = frame["trained"] > 1, frame["model"] == frame["trained"]
    if found := re.search(r"first (\d+) steps", title):
        part = frame[later & ~own & (frame["step"] <= int(found[1]))]
        return part.assign(x=part["step"], phase=0)
    if frame["trained"].max() == 1:
        return frame.assign(x=frame["step"], phase=0)
    rows = {
        "model 1 while model 2 trains": frame["model"] == 1,
        "earlier models, mean": ~own,
        "the model in training": own,
    }
    of_model = title.removeprefix("model ")
    part = frame[later & (rows[title] if title in rows else frame["model"] == int(of_model))]
    return part.assign(x=part["position"], phase=part["trained"])


def columns(figure):
    """The panels of a figure of curves by title, from the first row to the last."""
    titled = [ax for ax in figure.axes if ax.get_title(loc="left")]
    return {
        ax.get_title(loc="left"): figure.axes[place :: len(titled)]
        for place, ax in enumerate(titled)
    }


def test_curves_show_every_recorded_point(figures, look):
    names = {}
    for variant, style in look.items():
        names.setdefault(to_hex(style.color), set()).add(variant.label)
    assert len({(style.color, str(style.linestyle)) for style in look.values()}) == len(look)
    joint = {variant.label for variant in look if variant.role == "joint"}
    for plot, figure in each(figures, "curves"):
        frame = plot.data[~plot.data["variant"].isin(joint)]
        for title, axes in columns(figure).items():
            found = over_seeds(shown(frame, title), ["variant", "phase", "x"], "accuracy")
            lines = {}
            for (name, _), line in found.groupby(level=[0, 1], observed=True):
                line = 100 * line.droplevel([0, 1]).sort_index()
                lines[name, line.index[0], line.index[-1]] = line
            drawn = set()
            for ax in axes:
                (collection,) = [c for c in ax.collections if isinstance(c, LineCollection)]
                for points, color in zip(
                    collection.get_segments(), collection.get_colors(), strict=True
                ):
                    # Strategies of one kind share its colour.
                    keys = [(name, points[0, 0], points[-1, 0]) for name in names[to_hex(color)]]
                    same = [
                        key
                        for key in keys
                        if key in lines
                        and points[:, 0].tolist() == lines[key].index.tolist()
                        and points[:, 1] == pytest.approx(lines[key].to_numpy())
                    ]
                    assert same
                    drawn |= set(same)
            assert drawn == set(lines), (plot.name, title)


def test_curves_end_where_the_last_training_ends(figures):
    for plot, figure in each(figures, "curves"):
        for title, axes in columns(figure).items():
            x = shown(plot.data, title)["x"]
            first = 0 if re.fullmatch(r"model [23]", title) else x.min()
            for ax in axes:
                low, high = ax.get_xlim()
                assert low <= first and x.max() <= high
                assert high - low <= 1.05 * (x.max() - first), "room for nothing"
                assert all(tick == int(tick) for tick in ax.get_xticks())
    _, two = figures["scenario-two-curves"]
    ends = [axes[0].get_xlim()[1] for axes in columns(two).values()]
    assert ends == pytest.approx([10.15, 307 * 1.015, 307 * 1.015])
    _, five = figures["scenario-five-curves"]
    ends = [axes[0].get_xlim()[1] for axes in columns(five).values()]
    assert ends == pytest.approx([10.15, 272 * 1.015, 272 * 1.015])


def test_bands_hold_their_means_and_nothing_impossible(figures):
    for _, figure in each(figures, "curves"):
        for ax in figure.axes:
            (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
            (bands,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
            for line, band in zip(lines.get_segments(), bands.get_paths(), strict=True):
                n = len(line)
                low, high = band.vertices[:n, 1], band.vertices[n : 2 * n, 1][::-1]
                assert (low >= 0).all() and (high <= 100).all()
                assert (low <= line[:, 1] + 1e-9).all() and (line[:, 1] <= high + 1e-9).all()


def test_legends_of_curves_name_the_lines_of_their_row(figures):
    for _, figure in each(figures, "curves"):
        width = len(columns(figure))
        for last in figure.axes[width - 1 :: width]:
            keys = {to_hex(handle.get_color()) for handle in last.get_legend().legend_handles}
            (lines,) = [c for c in last.collections if isinstance(c, LineCollection)]
            assert keys == {to_hex(color) for color in lines.get_colors()}


def test_values_that_are_not_finite_take_nothing_with_them(record):
    """A curve with gaps, one without any value, and one of a single point."""
    values = {"finetune": [0.9, float("nan"), 0.2], "si": [float("nan")] * 3, "l2": [0.5]}
    made = []
    for name, line in values.items():
        steps = [0, 5, 12][: len(line)]
        curves = [
            {"model": 0, "steps": steps, "accuracy": [[0.5] * len(line)]},
            {"model": 1, "steps": steps, "accuracy": [line, line]},
        ]
        made += [replace(record([[0.9, 0.1], [0.5, 0.5]], strategy=name, seed=seed), curves=curves)
                 for seed in range(4)]  # fmt: skip
    own = group(made)
    figure = laid_out(strategy_curves_plot(own, styles(own), "odd"))
    assert check(figure) == []
    for ax in figure.axes:
        assert ax.get_xlim() == pytest.approx((-0.18, 12.18))
        assert np.isfinite([*ax.get_ylim()]).all()
        assert [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "."] == \
            [[[0, 50]]]  # fmt: skip
