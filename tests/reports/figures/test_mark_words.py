"""What the marks of a report's figures tell: their own numbers, where these are drawn."""

import re
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from figure_checks import each
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from palimpsest.benchmark.metrics import METRICS
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.ranking import ranking
from palimpsest.reports.figures.drawing.marks import NAME, Mark, note, note_each, note_names, noted
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats.svg import touchable_svg
from palimpsest.reports.html.drawing import marks_data
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.interval import Estimate

XML = "{http://www.w3.org/2000/svg}"
TOUCHED = ("means", "sweep", "matrices", "distance", "similarity", "refit", "importance")


def shown(figure):
    """The artists of a figure that were noted, each with its marks, in the order of drawing."""
    named = figure.findobj(lambda artist: str(artist.get_gid() or "").startswith(NAME))
    groups = noted(figure)
    return [(artist, groups[int(artist.get_gid().removeprefix(NAME))]) for artist in named]


def numbers(figure, kind):
    """The places and marks of what shows numbers: points of lines, offsets, parts of a mesh."""
    for artist, marks in shown(figure):
        if isinstance(artist, kind) and all(mark.number for mark in marks):
            yield artist, marks


@pytest.mark.thorough
def test_points_lie_where_their_numbers_are(figures):
    count = Counter()
    for _, figure in each(figures, "-sweep"):
        for line, marks in numbers(figure, Line2D):
            assert list(line.get_ydata()) == pytest.approx([100 * m.number.value for m in marks])
            count["sweep"] += len(marks)
    for _, figure in each(figures, "-means"):
        for ax in figure.axes:
            for line, (mark,) in numbers(figure, Line2D):
                if line.axes is ax and line.get_marker() not in {"None", "."}:
                    assert list(line.get_xdata()) == pytest.approx([100 * mark.number.value])
                    assert f"{ax.get_title(loc='left')} " in mark.told[1]
                    place = [t.get_text() for t in figure.axes[0].get_yticklabels()]
                    row = re.sub(r"\s+", " ", place[int(line.get_ydata()[0])])
                    assert row.split("…")[0].strip("\u200b")[:12] in mark.told[0]
                    count["means"] += 1
    for (_, figure), scale in [
        *((pair, 100) for pair in each(figures, "-inside-distance")),
        *((pair, 1) for pair in each(figures, "-inside-similarity")),
    ]:
        for ax in (ax for ax in figure.axes if ax.axison):
            for points in ax.collections:
                if points.get_gid():
                    marks = noted(figure)[int(points.get_gid().removeprefix(NAME))]
                    at = points.get_offsets()
                    assert at[:, 0].tolist() == pytest.approx(
                        [scale * m.number.value for m in marks]
                    )
                    assert all(f"{ax.get_title(loc='left')}: " in m.told[1] for m in marks)
                    count[scale] += len(marks)
    assert min(count.values()) > 40 and len(count) == 4


@pytest.mark.thorough
def test_entries_of_matrices_tell_their_own_models(figures, rich):
    reported = [choice.reported for choice in choose(group(rich)) if choice.reported]
    cells = {(cell.scenario, cell.variant.label): cell for cell in reported}
    count = 0
    for plot, figure in each(figures, "-matrices"):
        scenario = plot.data["scenario"].iloc[0]
        for mesh, marks in shown(figure):
            if not isinstance(mesh, QuadMesh):
                continue
            size = round(len(marks) ** 0.5)
            assert all(not m.told for p, m in enumerate(marks) if p % size > p // size)
            for place, mark in enumerate(marks):
                i, j = divmod(place, size)
                if not mark.told:
                    continue
                runs = cells[scenario, mark.told[0]].done
                mean = np.mean([run.accuracy_matrix[i][j] for run in runs])
                assert mark.told[1] == f"model {j + 1} after model {i + 1}"
                assert mark.number.value == pytest.approx(mean)
                assert mark.number.seeds == pytest.approx([r.accuracy_matrix[i][j] for r in runs])
                assert f"{100 * mean:.1f} %" in mark.told[2]
                assert mark.told[3] == f"{len(runs)} seed{'s' * (len(runs) > 1)}"
                count += 1
    assert count > 1000


def test_rankings_tell_means_over_seeds_or_runs(figures, rich):
    standings = {
        ("; ".join(s.scenarios), METRICS[s.metric].title): s for s in ranking(choose(group(rich)))
    }
    for plot, figure in each(figures, "-means"):
        scenarios = plot.data["scenario"].iloc[0]
        for _, (mark,) in numbers(figure, Line2D):
            metric = next(m for s, m in standings if s == scenarios and mark.told[1].startswith(m))
            standing = standings[scenarios, metric]
            (row,) = (row for row in standing.rows if row.strategy == mark.strategies[0])
            assert mark.number == row.mean and mark.told[0] == row.label
            said = re.match(rf"{re.escape(metric)} ([−+]?[\d.]+) (%|points)", mark.told[1])[1]
            assert float(said.replace("−", "-")) == pytest.approx(100 * row.mean.value, abs=0.051)
            what = "seed" if len(standing.scenarios) == 1 else "run"
            assert mark.told[2].startswith(f"{row.mean.n} {what}")


def test_profiles_tell_where_they_fall(figures):
    for plot, figure in each(figures, "-profile"):
        lines = [mark for _, marks in shown(figure) for mark in marks if len(mark.told) > 2]
        assert [mark.strategies[0] for mark in lines] == list(plot.data["strategy"].unique())
        for mark in lines:
            own = plot.data[plot.data["strategy"] == mark.strategies[0]]
            ends = [
                100 * own[own["share"] >= share - 1e-9]["threshold"].max() for share in (1, 0.5)
            ]
            ends.append(100 * own[own["share"] < 1e-9]["threshold"].min())
            said = [float(re.search(r"([\d.]+) %", text)[1]) for text in mark.told[1:4]]
            assert said == pytest.approx(ends, abs=0.051)


@pytest.mark.thorough
def test_every_mark_of_the_picture_has_its_words_and_its_place(figures):
    """Markers that belong to one line stand in the order of its marks: their heights say so."""
    kinds = Counter()
    for name, (plot, _) in figures.items():
        if name.split("-")[-1] not in TOUCHED or "twenty" in name:
            continue
        text, marks = touchable_svg(plot)
        root = ElementTree.fromstring(text)
        found = {int(e.get("data-mark")) for e in root.iter() if e.get("data-mark")}
        assert found == set(range(len(marks)))
        kinds[name.split("-")[-1]] += len(marks)
        assert "touch-" not in text
        along = "y" if name.endswith("sweep") else "x"
        for parent in root.iter(f"{XML}g"):
            uses = [e for e in parent if e.tag == f"{XML}use" and e.get("data-mark")]
            values = [marks[int(e.get("data-mark"))].number.value for e in uses]
            places = [float(e.get(along)) for e in uses]
            if np.ptp(values or [0]) > 0:
                slope, start = np.polyfit(values, places, 1)
                assert places == pytest.approx(slope * np.array(values) + start, abs=0.02)
                assert slope < 0 if along == "y" else slope > 0
    assert set(kinds) == set(TOUCHED)


def made(draw):
    return Plot("", "", "d", pd.DataFrame(), draw, name="p")


def test_points_that_are_not_drawn_take_no_others_words():
    """Without its second point nothing says which marker is which, so that none tells anything."""

    def draw(values):
        figure = Figure()
        ax = figure.subplots()
        (line,) = ax.plot(range(3), values, "o")
        note_each([Mark(("a",), (str(place),)) for place in range(3)], line)
        note_names("b", [ax.set_title("b")], ["bee"])
        return figure

    text, marks = touchable_svg(made(lambda: draw([1, 2, 3])))
    assert len(re.findall(r'<use data-mark="\d"', text)) == 3
    assert [mark.told for mark in marks] == [("0",), ("1",), ("2",), ("bee",)]
    text, marks = touchable_svg(made(lambda: draw([1, np.nan, 3])))
    assert "<use data-mark" not in text
    assert [mark.told for mark in marks] == [("bee",)]


def test_an_artist_in_no_figure_is_refused():
    with pytest.raises(ValueError, match="in no figure"):
        note(Mark(("a",)), Line2D([], []))


def test_data_of_marks_have_each_text_once():
    number = Estimate(0.5, 0.4, 0.61234567, 3, (0.4, 0.5, 0.6))
    marks = [Mark(("a",), ("a", "x 1"), number), Mark(("a", "b")), Mark(("a",), ("a", "x 1"))]
    found = marks_data({"one": marks, "none": []})
    texts = found["texts"]
    assert sorted(texts) == ["a", "b", "x 1"]
    (own,) = found["figures"].values()
    assert [[[texts[t] for t in part] for part in mark[:2]] for mark in own] == [
        [["a"], ["a", "x 1"]], [["a", "b"], []], [["a"], ["a", "x 1"]]
    ]  # fmt: skip
    assert own[0][2] == [0.5, 0.4, 0.61235, 0.4, 0.5, 0.6]
    assert len(own[1]) == len(own[2]) == 2
