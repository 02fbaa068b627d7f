"""What the report says of searches: visits, rewards, and rankings beside the truth."""

from dataclasses import replace
from statistics import fmean

import pytest
from figure_checks import check, laid_out
from searching import NAMES, searches

from palimpsest.benchmark.suites.spec import Spec
from palimpsest.reports.analysis.ground_truth import tau, truth_of
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats.svg import touchable_svg
from palimpsest.reports.html.boards import Board
from palimpsest.reports.html.sections import sections
from palimpsest.reports.runs.cells import group
from palimpsest.reports.tables.table import Table


@pytest.fixture(scope="module", params=[False, True], ids=["rates", "perplexities"])
def found(record, request):
    return searches(record, perplexity=request.param)


@pytest.fixture(scope="module")
def answers(found):
    return {section.name: section for section in sections(group(found))}


def parts(answers, section, scenario="fast"):
    for own in answers[section].groups:
        if own.scenario == scenario:
            return {getattr(part, "name", "board"): part for part in own.parts}
    return {}


def test_the_answer_has_forgetting_and_gain_beside_the_verdicts(answers):
    own = parts(answers, "answer")
    assert [type(part) for part in own.values()] == [Board, Plot]
    assert check(laid_out(own["scenario-fast-gains"])) == []


def test_visits_have_a_table_with_what_belongs_together_first(answers, found):
    own = parts(answers, "visits")
    assert list(own) == [f"scenario-fast-{name}" for name in ("search", "visits", "rewards")]
    table = own["scenario-fast-search"]
    titles = [column.title for column in table.columns[1:4]]
    assert titles == ["visit forgetting", "visit gain", "visited error"]
    perplexity = bool(found[0].visits_perplexity)
    units = ["perplexity"] * 3 if perplexity else ["points", "points", "%"]
    assert [column.unit for column in table.columns[1:4]] == units
    assert not parts(answers, "models").get("scenario-fast-search")


def test_figures_of_visits_keep_what_every_figure_keeps(answers):
    for section in ("visits", "architectures"):
        for part in parts(answers, section).values():
            if isinstance(part, Plot):
                assert check(laid_out(part)) == [], part.name


def test_lines_of_visits_fade_and_tell_their_names(answers):
    plot = parts(answers, "visits")["scenario-fast-visits"]
    svg, marks = touchable_svg(plot)
    names = {mark.told[0] for mark in marks if mark.told}
    assert names == {"finetune", "l2, strength 0.1", "l2, strength 1",
                     *(f"wpl, strength {value}" for value in (0.1, 1, 10))}  # fmt: skip
    assert {mark.strategies for mark in marks} == {("finetune",), ("l2",), ("wpl",)}
    assert svg.count("data-mark") == 3 * 2 * 6  # panels; bands and lines


def test_rankings_stand_beside_the_truth_of_the_same_supernet(answers, found):
    own = parts(answers, "architectures")
    assert list(own) == ["scenario-fast-rankings-measures", "scenario-fast-rankings-truth"]
    table = own["scenario-fast-rankings-measures"]
    assert isinstance(table, Table)
    truth = truth_of([record for record in found if record.scenario == "alone"])
    plain = [r for r in found if (r.scenario, r.strategy) == ("fast", "finetune")]
    taus = [
        tau({row["architecture"]: row["validation"] for row in r.probes["search"]["ranking"]},
            truth.errors)
        for r in plain
    ]  # fmt: skip
    assert table.rows[0].cells[0] == "finetune"
    assert table.rows[0].cells[1].value == pytest.approx(fmean(taus))
    assert "scenario alone, mean over 3 seeds" in table.caption
    titles = [column.title for column in table.columns]
    assert titles[1:] == ["tau", "Spearman", "tau best quarter", "regret", "regret best five",
                          "expected", "seeds"]  # fmt: skip
    units = {column.title: column.unit for column in table.columns}
    perplexity = truth.perplexity
    assert units["regret"] == ("perplexity" if perplexity else "points")
    assert units["expected"] == ("perplexity" if perplexity else "%")
    assert not parts(answers, "architectures", "alone")
    assert not parts(answers, "visits", "alone")


def changed(found, **settings):
    """The truth with other settings."""
    result = []
    for record in found:
        if record.scenario == "alone":
            scenario = record.spec.data["scenario"] | settings
            record = replace(record, spec=Spec({**record.spec.data, "scenario": scenario}))
        result.append(record)
    return result


@pytest.mark.parametrize(
    "settings", [{"data": "mnist"}, {"supernet": {"name": "recurrent_cell"}}, {"shared": True}]
)
def test_the_truth_of_something_else_is_not_used(found, settings):
    names = {section.name for section in sections(group(changed(found, **settings)))}
    assert "architectures" not in names


def test_a_search_that_ranked_other_architectures_is_left_out(found):
    cut = []
    for record in found:
        if record.scenario == "fast" and record.strategy != "wpl":
            search = record.probes["search"]
            record = replace(record, probes={"search": search | {"ranking": search["ranking"][1:]}})
        cut.append(record)
    own = {section.name: section for section in sections(group(cut))}
    table = parts(own, "architectures")["scenario-fast-rankings-measures"]
    assert [row.strategies for row in table.rows] == [("wpl",)] * 3


def test_without_a_controller_there_is_nothing_expected(found):
    plain = []
    for record in found:
        search = record.probes["search"]
        ranking = [
            {n: v for n, v in row.items() if n != "probability"} for row in search["ranking"]
        ]
        plain.append(
            replace(record, probes={"search": search | {"ranking": ranking, "rewards": []}})
        )
    own = {section.name: section for section in sections(group(plain))}
    table = parts(own, "architectures")["scenario-fast-rankings-measures"]
    assert "expected" not in {column.title for column in table.columns}
    assert "scenario-fast-rewards" not in parts(own, "visits")
    assert len(table.data["measure"].unique()) == 5
    assert len(NAMES) == 16


def test_runs_that_are_no_searches_have_none_of_it(rich):
    names = {section.name for section in sections(group(rich))}
    assert not names & {"visits", "architectures"}


def test_searches_whose_errors_are_not_finite_are_told(found):
    lost = []
    for record in found:
        if (record.scenario, record.strategy) == ("fast", "l2"):
            search = record.probes["search"]
            first = {**search["rows"][0], "end": None}
            if record.seed == 0 or record.strength == 1:
                search = search | {"rows": [first, *search["rows"][1:]]}
            record = replace(record, probes={"search": search})
        lost.append(record)
    own = {section.name: section for section in sections(group(lost))}
    plot = parts(own, "visits")["scenario-fast-visits"]
    assert check(laid_out(plot)) == []
    assert "6 runs with an error that is not finite are left out" in plot.caption
    strong = {f"wpl, strength {value}" for value in (0.1, 1, 10)}
    assert set(plot.data["line"]) == {"finetune", "l2, strength 0.1", *strong}
