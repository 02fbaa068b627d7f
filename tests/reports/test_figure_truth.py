"""Every figure of a report shows what it claims: all of it, inside its axes, and legibly.

Expected values are averaged here by plain loops over the frame that stands behind a figure.
"""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from figure_checks import bars, check, laid_out, marks, ordered
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_hex
from rich_store import LONG

from reports.cells import JOINT, group
from reports.choice import choose
from reports.figures import curves_plot
from reports.plot import Plot
from reports.ranking import ranking
from reports.ranking_plots import critical_difference_plot
from reports.ranks import rank
from reports.sections import sections
from reports.style import styles, wrapped

SCENARIOS = {
    1: "five",
    2: "one model",
    3: "one seed",
    4: "steady",
    5: "three",
    6: "twenty",
    7: "two",
}


@pytest.fixture(scope="module")
def cells(rich):
    return group(rich)


@pytest.fixture(scope="module")
def figures(cells):
    """Every plot of the report, with its figure laid out once."""
    parts = [part for section in sections(cells) for part in section.parts]
    return {part.name: (part, laid_out(part)) for part in parts if isinstance(part, Plot)}


@pytest.fixture(scope="module")
def look(cells):
    return styles(sorted({cell.variant for cell in cells}, key=lambda variant: variant.order))


def each(figures, ending):
    """The figures of one sort."""
    found = [pair for name, pair in figures.items() if name.endswith(ending)]
    assert found
    return found


def over_seeds(frame, by, value):
    """The mean over all but seeds, then over seeds, in the order of appearance."""
    per_seed = frame.groupby([*by, "seed"], sort=False, observed=True)[value].mean()
    return per_seed.groupby(level=by, sort=False, observed=True).mean()


def test_all_is_inside_and_legible(figures):
    problems = {name: found for name, (_, figure) in figures.items() if (found := check(figure))}
    assert problems == {}
    kinds = {re.sub(r"(scenario|ranking)-\d+-", "", name) for name in figures}
    assert kinds == {
        *("means", "plane", "sensitivity", "curves", "matrices"),
        *(f"inside-{probe}" for probe in ("distance", "importance", "similarity", "refit")),
    }


def shown(frame, title):
    """What a panel of curves has to show: rows with the place x, and the phase of a line."""
    later, own = frame["trained"] > 0, frame["model"] == frame["trained"]
    if found := re.search(r"first (\d+) steps", title):
        part = frame[later & ~own & (frame["step"] <= int(found[1]))]
        return part.assign(x=part["step"], phase=0)
    if frame["trained"].max() == 0:
        return frame.assign(x=frame["step"], phase=0)
    rows = {
        "model 0 while model 1 trains": frame["model"] == 0,
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
    names = {to_hex(style.color): variant.label for variant, style in look.items()}
    assert len(names) == len(look)
    joint = {variant.label for variant in look if variant.kind == JOINT}
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
                    key = (names[to_hex(color)], points[0, 0], points[-1, 0])
                    assert points[:, 0].tolist() == lines[key].index.tolist()
                    assert points[:, 1] == pytest.approx(lines[key].to_numpy())
                    drawn.add(key)
            assert drawn == set(lines), (plot.name, title)


def test_curves_end_where_the_last_training_ends(figures):
    for plot, figure in each(figures, "curves"):
        for title, axes in columns(figure).items():
            x = shown(plot.data, title)["x"]
            first = 0 if re.fullmatch(r"model [12]", title) else x.min()
            for ax in axes:
                low, high = ax.get_xlim()
                assert low <= first and x.max() <= high
                assert high - low <= 1.05 * (x.max() - first), "room for nothing"
                assert all(tick == int(tick) for tick in ax.get_xticks())
    _, two = figures["scenario-7-curves"]  # scenarios stand in the order of their names
    ends = [axes[0].get_xlim()[1] for axes in columns(two).values()]
    assert ends == pytest.approx([10.15, 307 * 1.015, 307 * 1.015])
    _, five = figures["scenario-1-curves"]
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


def test_equal_strategies_are_told_apart(figures):
    """Freezing and independent training of the store are the same, and both can be seen."""
    _, figure = figures["scenario-7-curves"]
    (lines,) = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    by_place = {}
    for points, width in zip(lines.get_segments(), lines.get_linewidths(), strict=True):
        by_place.setdefault(points.round(6).tobytes(), []).append(width)
    (widths,) = [found for found in by_place.values() if len(found) > 1]
    assert len(widths) == 2 and widths[0] > widths[1] + 1
    _, plane = figures["scenario-7-plane"]
    sizes = {}
    for line in plane.axes[0].lines:
        if len(line.get_xdata()) == 1:
            sizes.setdefault(line.get_xydata().round(6).tobytes(), []).append(line.get_markersize())
    several = [found for found in sizes.values() if len(found) > 1]
    assert len(several) >= 4  # ewc and wpl at three strengths, and the references
    assert all(found == sorted(found, reverse=True) for found in several)
    assert all(len(set(found)) == len(found) for found in several)


def test_planes_show_every_point_with_its_intervals(figures):
    for plot, figure in each(figures, "plane"):
        ax, frame = figure.axes[0], plot.data
        x, y = "learning_accuracy", "stability"
        placed = frame[frame[x].notna() & frame[y].notna()]
        assert marks(ax) == pytest.approx(ordered(100 * placed[[x, y]]))
        expected = []
        for _, row in placed.iterrows():
            for one, other in ((x, y), (y, x)):
                if not np.isnan(row[f"{one}_low"]):
                    ends = np.clip([row[f"{one}_low"], row[f"{one}_high"]], 0, 1)
                    bar = [(end, row[other]) if one == x else (row[other], end) for end in ends]
                    expected += [(100 * a, 100 * b) for a, b in bar]
        assert ordered(bars(ax)) == pytest.approx(ordered(expected))
        levels = [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--"
                  and list(line.get_xdata()) == [0, 1]]  # fmt: skip
        assert levels == pytest.approx(list(100 * frame[frame[x].isna()][y].dropna()))
        strategies = {label.split(", strength")[0] for label in placed["variant"]}
        assert len(ax.get_legend().get_texts()) == len(strategies) + len(levels)


def test_strengths_stand_at_their_points_inside_the_plane(figures):
    for plot, figure in each(figures, "plane"):
        ax = figure.axes[0]
        wanted = plot.data.dropna(subset=["learning_accuracy", "stability"])
        wanted = wanted[wanted["variant"].str.contains(", strength ")]
        labels = [text for text in ax.texts if text.get_text()]
        said = {(text.get_text(), *np.round(text.xy, 6)) for text in labels}
        assert said == {
            (row["variant"].split("strength ")[1], *np.round(100 * np.array(place, float), 6))
            for _, row in wanted.iterrows()
            for place in ((row["learning_accuracy"], row["stability"]),)
        }
        for text in labels:
            box = text.get_bbox_patch() or type(text).__mro__[1].get_window_extent(text)
            assert ax.bbox.padded(1).containsx(box.x0) and ax.bbox.padded(1).containsx(box.x1)
            assert ax.bbox.padded(1).containsy(box.y0) and ax.bbox.padded(1).containsy(box.y1)


def test_sensitivities_show_every_score(figures):
    for plot, figure in each(figures, "sensitivity"):
        panels = {ax.get_title(loc="left"): ax for ax in figure.axes if ax.axison}
        assert set(panels) == {wrapped(name, 30) for name in plot.data["strategy"].unique()}
        for strategy, frame in plot.data.groupby("strategy"):
            ax = panels[wrapped(strategy, 30)]
            ticks = [tick.get_text() for tick in ax.get_xticklabels()]
            assert len(ticks) >= frame["strength"].nunique()
            drawn = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) > 1
                     and line.get_marker() != "None"]  # fmt: skip
            drawn += [line.get_ydata() for line in ax.lines if line.get_marker() in {*"os^"}
                      and len(line.get_xdata()) == 1]  # fmt: skip
            scores = frame[
                frame["metric"].isin(["validation_accuracy", "stability", "learning_accuracy"])
            ].dropna(subset=["mean"])
            known = [g["mean"].to_numpy() for _, g in scores.groupby("metric")]
            assert sorted(len(line) for line in drawn) == sorted(map(len, known))
            for line in drawn:
                assert any(len(line) == len(one) and np.allclose(line, 100 * one) for one in known)
            ends = scores.dropna(subset=["low"])
            count = sum(len(c.get_segments()) for c in ax.collections)
            assert count == len(ends)


def test_rankings_show_every_mean_with_its_interval(figures):
    for plot, figure in each(figures, "means"):
        metrics = plot.data["metric"].str.replace("_", " ").unique()
        panels = {ax.get_title(loc="left"): ax for ax in figure.axes}
        assert set(panels) == set(metrics)
        for metric, frame in plot.data.groupby("metric"):
            ax = panels[metric.replace("_", " ")]
            known = frame.dropna(subset=["mean"])
            assert len(figure.axes[0].get_yticklabels()) == plot.data["strategy"].nunique()
            assert marks(ax)[:, 0] == pytest.approx(sorted(100 * known["mean"]))
            ends = known.dropna(subset=["mean_low"])[["mean_low", "mean_high"]]
            assert sorted(bars(ax)[:, 0]) == pytest.approx(sorted(100 * ends.to_numpy().ravel()))


def test_matrices_show_every_learned_entry(figures):
    for plot, figure in each(figures, "matrices"):
        meshes = [c for c in figure.axes[0].collections if isinstance(c, QuadMesh)]
        found = [np.ma.filled(mesh.get_array(), np.nan).ravel() for mesh in meshes]
        assert len(found) == plot.data["variant"].nunique()
        for _, frame in plot.data.groupby("variant"):
            later = frame["model"] > frame["trained"]
            expected = 100 * frame["accuracy"].mask(later).to_numpy()
            assert any(np.allclose(one, expected, equal_nan=True) for one in found)


@pytest.mark.parametrize(("probe", "value", "scale", "high"), [
    ("distance", "relative", 100, np.inf), ("similarity", "cka", 1, 1)])  # fmt: skip
def test_probes_show_every_mean(figures, probe, value, scale, high):
    for plot, figure in each(figures, f"inside-{probe}"):
        means = scale * over_seeds(plot.data, ["block", "variant"], value)
        panels = {ax.get_title(loc="left"): ax for ax in figure.axes if ax.axison}
        assert len(panels) == plot.data["block"].nunique()
        for block, own in means.groupby(level="block"):
            ax = panels[block.replace("_", " ")]
            (points,) = [c for c in ax.collections if isinstance(c, PathCollection)]
            assert sorted(points.get_offsets()[:, 0]) == pytest.approx(sorted(own))
            (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
            ends = np.concatenate(lines.get_segments())[:, 0]
            assert (ends >= 0).all() and (ends <= high).all()
            for (left, _), (right, _) in lines.get_segments():
                assert any(left - 1e-9 <= mean <= right + 1e-9 for mean in own)


def test_refits_and_importances_show_every_variant(figures):
    for plot, figure in each(figures, "inside-refit"):
        ax = figure.axes[0]
        expected = [100 * over_seeds(plot.data, ["variant"], value).dropna()
                    for value in ("learned", "before", "after")]  # fmt: skip
        assert sorted(marks(ax)[:, 0].tolist()) == pytest.approx(sorted(pd.concat(expected)))
    for plot, figure in each(figures, "inside-importance"):
        for ax in (ax for ax in figure.axes if ax.axison):
            low, high = ax.get_xlim()
            assert 0 < low < high
            assert all(low <= tick <= high for tick in ax.get_xticks())
            thin = [line for line in ax.lines if line.get_linewidth() == 1
                    and len(line.get_xdata()) == 2]  # fmt: skip
            assert len(thin) == plot.data["variant"].nunique()


@pytest.mark.parametrize("count", [3, 4, 13])
def test_critical_differences_are_legible(cells, count):
    rng = np.random.default_rng(count)
    ranks = rank({f"{LONG} {name}": rng.random(4) for name in range(count)})
    standing = replace(ranking(choose(cells[:4]))[0], ranks=ranks)
    plot = critical_difference_plot([standing, standing], "ranks")
    figure = laid_out(plot)
    assert check(figure) == []
    lines = [line.get_xydata() for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert sorted(line[0, 0] for line in lines) == pytest.approx(sorted(ranks.average.values()))


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
    figure = laid_out(curves_plot(own, styles([cell.variant for cell in own]), "odd"))
    assert check(figure) == []
    for ax in figure.axes:
        assert ax.get_xlim() == pytest.approx((-0.18, 12.18))
        assert np.isfinite([*ax.get_ylim()]).all()
        assert [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "."] == \
            [[[0, 50]]]  # fmt: skip
