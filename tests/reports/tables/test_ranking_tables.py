"""The ranking, the choice and the frontiers as tables and figures."""

from xml.etree import ElementTree

import pytest

from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.frontier import frontiers
from palimpsest.reports.analysis.profiles import profiles
from palimpsest.reports.analysis.ranking import ranking
from palimpsest.reports.figures.drawing.style import styles
from palimpsest.reports.figures.frontier import Plane, plane_plot
from palimpsest.reports.figures.profile import profile_plot
from palimpsest.reports.figures.ranking import ranking_plot
from palimpsest.reports.figures.ranks import critical_difference_plot
from palimpsest.reports.figures.strengths import sweep_plot
from palimpsest.reports.formats.svg import svg_element
from palimpsest.reports.html.sections import sections
from palimpsest.reports.runs.cells import by_scenario, group
from palimpsest.reports.tables.cost import cost_table
from palimpsest.reports.tables.forgetting import forgetting_table
from palimpsest.reports.tables.ranking import choice_table, frontier_table, ranking_table
from palimpsest.reports.wording.numbers import spread

SVG = "{http://www.w3.org/2000/svg}"
SCENARIOS = ["rotated", "same data", "split"]


@pytest.fixture(scope="module")
def cells(store):
    return group(store)


@pytest.fixture(scope="module")
def look(cells):
    return styles(cells)


@pytest.fixture(scope="module")
def choices(cells):
    return choose(cells)


@pytest.fixture(scope="module")
def standings(choices):
    return ranking(choices)


def words(plot):
    root = ElementTree.fromstring(svg_element(plot))
    return "\n".join(text.text for text in root.iter(f"{SVG}text"))


def written(table):
    """The texts of a table, by row heading and column title."""
    return {
        table.columns[0].entry(row.cells[0]).text: {
            column.title: entry for column, entry in table.entries(row)
        }
        for row in table.rows
    }


def of(standings, metric, count=1):
    return next(s for s in standings if s.metric == metric and len(s.scenarios) == count)


# The performance profile


def test_profiles_over_scenarios_are_those_of_the_reported_runs(choices, look):
    found = profiles(choices, SCENARIOS)
    assert found.scenarios == tuple(SCENARIOS)
    assert set(found.by_strategy) == {choice.strategy for choice in choices}
    plot = profile_plot(found, look)
    text = words(plot)
    assert all(name in text for name in found.by_strategy)
    rows = plot.data[plot.data["strategy"] == "wpl"]
    own = [choice.reported for choice in choices if choice.strategy == "wpl"]
    for tau, share in zip(rows["threshold"], rows["share"], strict=True):
        above = [[run.metrics["average_accuracy"] > tau for run in cell.done] for cell in own]
        assert share == pytest.approx(sum(sum(a) / len(a) for a in above) / len(above))
    assert set(rows["n"]) == {15}
    ends = plot.data.groupby("threshold")["share"].agg(["min", "max"])
    assert ends.iloc[0].tolist() == [1, 1]
    assert ends.iloc[-1].tolist() == [0, 0]


def test_a_profile_needs_runs_and_something_to_compare(choices, look, record):
    assert profiles(choices, SCENARIOS[:1]) is None  # five runs of each
    assert profiles(choices, [*SCENARIOS, "none"]) is None
    alone = group([record([[0.9, 0.1], [0.5, 0.9]], seed=seed) for seed in range(12)])
    assert profiles(choose(alone), ["same"]) is None
    assert profile_plot(None, look) is None


# The ranking


def test_the_table_shows_the_size_beside_every_p(standings):
    standing = of(standings, "stability")
    table = ranking_table(standing)
    rows = written(table)
    assert len(rows) == len(standing.rows)
    for row in table.rows:
        entries = [entry for _, entry in table.entries(row)]
        titles = [column.title for column in table.columns]
        for p, size in (("p", "to fine-tuning"), ("p to best", "to the best")):
            if entries[titles.index(p)].text != "–":
                assert entries[titles.index(size)].text != "–"
                assert entries[titles.index(size)].interval
    plain = next(entries for label, entries in rows.items() if label == "finetune")
    assert plain["to fine-tuning"].text == "–"


def test_critical_differences_need_three_scenarios(standings):
    several = [s for s in standings if len(s.scenarios) == 3]
    plot = critical_difference_plot(several)
    text = words(plot)
    assert "CD " in text
    assert "permutation test of Friedman’s statistic: p = " in text
    assert "Friedman p" not in text
    for name in several[0].ranks.average:
        assert name in text
    one = [s for s in standings if len(s.scenarios) == 1]
    assert critical_difference_plot(one) is None


# Choice and frontiers


def test_the_choice_is_shown_with_its_neighbours(choices):
    own = [choice for choice in choices if choice.scenario == "same data"]
    rows = written(choice_table(own))
    assert set(rows) == {"ewc", "wpl"}
    for choice in own:
        if choice.strategy in rows:
            row = rows[choice.strategy]
            assert row["strengths tried"].text == "3"
            assert row["reported at"].text == choice.strengths
            assert row["chosen on all seeds"].text in {"100", "1e4", "1e6"}
            beside = [row["weaker neighbour"].text, row["stronger neighbour"].text]
            assert beside.count("–") == (1 if choice.end else 0)
            assert bool(choice.end) == bool(row["chosen on all seeds"].note)


def test_without_strengths_nothing_is_chosen(record, look):
    choices = choose(group([record([[0.9, 0.1], [0.5, 0.9]])]))
    assert choice_table(choices) is None
    assert sweep_plot(choices, look) is None


def test_the_plane_shows_hypervolumes_and_marks_what_is_dominated(cells):
    own = by_scenario(cells)["same data"]
    found = frontiers(own)
    parts = [part for section in sections(own) for part in section.parts]
    (plot,) = (part for part in parts if getattr(part, "name", "").endswith("-plane"))
    text = words(plot)
    for frontier in found.frontiers:
        assert f"{frontier.strategy} (fills " in text
    dominated = {p.variant.label for f in found.frontiers for p in f.points if p.dominated}
    dominated |= {p.variant.label for p in found.ends if p.dominated}
    assert set(plot.data[plot.data["dominated"]]["variant"]) == dominated


def test_the_table_of_frontiers_says_why_there_is_no_area(record, cells):
    rows = written(frontier_table(frontiers(by_scenario(cells)["same data"])))
    assert rows["wpl"]["strengths"].text == "3"
    assert rows["wpl"]["hypervolume"].interval
    alone = group([record([[0.9, 0.1], [0.5, 0.9]], strategy="wpl", strength=1.0)])
    row = written(frontier_table(frontiers(alone)))["wpl"]
    assert row["hypervolume"].text == "–"
    assert "freezing" in row["hypervolume"].note


def test_forgetting_model_by_model(record):
    matrices = [
        [[0.9, 0.1, 0.1], [0.7, 0.8, 0.1], [0.6, 0.85, 0.9]],
        [[0.9, 0.1, 0.1], [0.95, 0.8, 0.1], [0.55, 0.6, 0.9]],
    ]
    cells = group([record(matrix, seed=seed) for seed, matrix in enumerate(matrices)])
    row = written(forgetting_table(cells))["finetune"]
    assert row["model 1"].text == "+35.0"  # 0.9 - 0.6 and 0.95 - 0.55
    assert row["model 2"].text == "+7.5"  # 0.8 - 0.85 and 0.8 - 0.6
    assert row["model 1"].interval
    two = group([record([[0.9, 0.1], [0.5, 0.9]])])
    assert forgetting_table(two) is None


def test_runs_that_recorded_no_cost_make_no_table(cells):
    assert cost_table(by_scenario(cells)["same data"]) is None


def dots(ax):
    """The x of all small points of single seeds in a panel, in order."""
    lines = [line for line in ax.lines if line.get_marker() in ".o" and line.get_alpha()]
    return sorted(float(x) for line in lines for x in line.get_xdata())


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_few_seeds_are_points_in_place_of_intervals(store, seeds):
    """A figure shows no interval that the tables do not have, and no seed that they hide."""
    own = [r for r in store if r.seed < seeds and r.scenario == "rotated" and r.status == "done"]
    cells = group(own)
    look = styles(cells)
    standings = ranking(choose(cells))
    (panel, *_) = ranking_plot(standings, look).draw().axes
    stability = [100 * value for row in standings[0].rows for value in row.mean.seeds]
    assert dots(panel) == (pytest.approx(sorted(stability)) if seeds < 4 else [])
    placed = frontiers(cells)
    points = [*placed.ends, *(p for f in placed.frontiers for p in f.points)]
    ax = plane_plot([Plane("", placed)], look, axes=("x", "y")).draw().axes[0]
    shown = [100 * x for p in points if p.y.seeds and p.x.seeds for x in p.x.seeds]
    assert dots(ax) == (pytest.approx(sorted(shown)) if seeds < 4 else [])
    entry = ranking_table(standings[0]).entries(ranking_table(standings[0]).rows[0])[1][1]
    assert entry.interval[0] == ("(" if seeds < 4 else "[")


def test_the_probability_of_improvement_stands_with_its_interval(standings):
    standing = of(standings, "stability")
    rows = written(ranking_table(standing))
    for row in standing.rows:
        if row.against_baseline is not None:
            (variant,) = row.variants.values()
            found, entry = row.against_baseline.improvement, rows[variant.label]["P(better)"]
            assert entry.text == f"{100 * found.value:.0f}"
            assert entry.interval == spread(found, lambda x: f"{100 * x:.0f}")


def test_a_sweep_without_any_score_has_no_figure(record):
    """Matplotlib would warn of an empty legend."""
    runs = [
        record([[None, None], [None, None]], strategy="wpl", strength=strength, seed=seed)
        for strength in (1.0, 10.0)
        for seed in range(4)
    ]
    cells = group(runs)
    assert sweep_plot(choose(cells), styles(cells)) is None
