"""Every figure of a report shows what it claims: all of it, inside its axes, and legibly.

Expected values are averaged here by plain loops over the frame that stands behind a figure.
"""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from figure_checks import alone, bars, check, each, laid_out, marks, ordered, over_seeds
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from rich_store import LONG

from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.ranking import ranking
from palimpsest.reports.figures.drawing.labels import wrapped
from palimpsest.reports.figures.figure import figures as known_figures
from palimpsest.reports.figures.ranks import critical_difference_plot
from palimpsest.reports.html.anchors import ALL, anchor
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.interval import FEWEST_SEEDS

SCENARIOS = {
    1: "five",
    2: "one model",
    3: "one seed",
    4: "steady",
    5: "three",
    6: "twenty",
    7: "two",
}


def test_all_is_inside_and_legible(figures, rich):
    problems = {name: found for name, (_, figure) in figures.items() if (found := check(figure))}
    assert problems == {}
    places = "|".join([ALL, *{anchor(run.scenario) for run in rich}])
    kinds = {re.sub(rf"(scenario|ranking)-({places})-", "", name) for name in figures}
    assert kinds >= {
        *("means", "plane", "sweep", "curves", "matrices"),
        *("plasticity-means", "plasticity-profile"),  # a scenario of one model has none
        *(each.name for each in known_figures().values() if each.section == "inside"),
    }


def test_equal_strategies_are_told_apart(figures):
    """Freezing and independent training of the store are the same, and both can be seen."""
    _, figure = figures["scenario-two-curves"]
    (lines,) = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    by_place = {}
    for points, width in zip(lines.get_segments(), lines.get_linewidths(), strict=True):
        by_place.setdefault(points.round(6).tobytes(), []).append(width)
    (widths,) = [found for found in by_place.values() if len(found) > 1]
    assert len(widths) == 2 and widths[0] > widths[1] + 1
    _, plane = figures["scenario-two-plane"]
    sizes = {}
    for line in plane.axes[0].lines:
        if len(line.get_xdata()) == 1:
            sizes.setdefault(line.get_xydata().round(6).tobytes(), []).append(line.get_markersize())
    several = [found for found in sizes.values() if len(found) > 1]
    assert len(several) >= 4  # ewc and wpl at three strengths, and the references
    assert all(found == sorted(found, reverse=True) for found in several)
    assert all(len(set(found)) == len(found) for found in several)


def test_planes_show_every_point_with_its_intervals_or_seeds(figures, rich):
    runs_of = {(cell.scenario, cell.variant.label): cell.done for cell in group(rich)}
    shown = []
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
        seeds = [
            (100 * run.metrics[x], 100 * run.metrics[y])
            for _, row in placed[placed[f"{x}_low"].isna()].iterrows()
            for runs in (runs_of[row["scenario"], row["variant"]],)
            for run in runs
            if len(runs) > 1
        ]
        assert alone(ax) == pytest.approx(ordered(seeds))
        shown += [("intervals", bool(expected)), ("seeds", bool(seeds))]
        levels = [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--"
                  and list(line.get_xdata()) == [0, 1]]  # fmt: skip
        assert levels == pytest.approx(list(100 * frame[frame[x].isna()][y].dropna()))
        strategies = {label.split(", strength")[0] for label in placed["variant"]}
        (legend,) = figure.legends
        assert len(legend.get_texts()) == len(strategies) + len(levels)
    assert {("intervals", True), ("seeds", True)} <= set(shown)


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


def test_sweeps_show_every_score_with_its_interval_or_seeds(figures):
    for plot, figure in each(figures, "sweep"):
        panels = {ax.get_title(loc="left"): ax for ax in figure.axes if ax.axison}
        assert set(panels) == {wrapped(name, 30) for name in plot.data["strategy"].unique()}
        for strategy, frame in plot.data.groupby("strategy"):
            ax = panels[wrapped(strategy, 30)]
            ticks = [tick.get_text() for tick in ax.get_xticklabels()]
            assert len(ticks) >= frame["strength"].nunique()
            drawn = [line.get_ydata() for line in ax.lines if line.get_marker() in {*"os^"}]
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
            few = scores[scores["low"].isna()]
            assert (few["n"] < FEWEST_SEEDS).all() and (ends["n"] >= FEWEST_SEEDS).all()
            seeds = alone(ax)
            assert len(seeds) == few["n"].sum()
            spots = np.unique(seeds[:, 0])
            for spot, (_, own) in zip(spots, few.groupby("strength"), strict=True):
                weighted = (own["mean"] * own["n"]).sum() / own["n"].sum()
                assert seeds[seeds[:, 0] == spot, 1].mean() == pytest.approx(100 * weighted)


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
    ("distance", "relative", 100, np.inf), ("similarity", "cka", 1, 1),
    ("overlap", "jaccard", 1, 1)])  # fmt: skip
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
    shown = {"refit": ("learned", "before", "after"), "unmerged": ("unmerged", "merged", "end")}
    for probe, values in shown.items():
        for plot, figure in each(figures, f"inside-{probe}"):
            expected = [100 * over_seeds(plot.data, ["variant"], v).dropna() for v in values]
            found = marks(figure.axes[0])[:, 0].tolist()
            assert sorted(found) == pytest.approx(sorted(pd.concat(expected)))
    for plot, figure in each(figures, "inside-importance"):
        for ax in (ax for ax in figure.axes if ax.axison):
            low, high = ax.get_xlim()
            assert 0 < low < high
            assert all(low <= tick <= high for tick in ax.get_xticks())
            thin = [line for line in ax.lines if line.get_linewidth() == 1
                    and len(line.get_xdata()) == 2]  # fmt: skip
            assert len(thin) == plot.data["variant"].nunique()


@pytest.mark.parametrize("count", [3, 4, 13, 34])
def test_critical_differences_are_legible(rich, count):
    names = [f"{LONG} {name}" for name in range(count)]
    average = dict(zip(names, np.linspace(1.25, count - 0.5, count).tolist(), strict=True))
    standing = ranking(choose(group(rich)[:4]))[0]
    ranks = replace(
        standing.ranks, average=average, scenarios=4, p=0.03,
        critical_difference=4.7 * (count - 1) / 4, groups=(tuple(names[:2]), tuple(names[1:])),
    )  # fmt: skip
    standing = replace(standing, ranks=ranks)
    plot = critical_difference_plot([standing, standing])
    figure = laid_out(plot)
    assert check(figure) == []
    lines = [line.get_xydata() for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert sorted(line[0, 0] for line in lines) == pytest.approx(sorted(ranks.average.values()))
