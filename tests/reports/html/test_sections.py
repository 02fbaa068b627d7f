import pytest

from palimpsest.benchmark.metrics import METRICS
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.html.boards import Board
from palimpsest.reports.html.sections import sections
from palimpsest.reports.runs.cells import group
from palimpsest.reports.tables.metrics import SEARCH
from palimpsest.reports.tables.table import Table


@pytest.fixture(scope="module")
def found(store):
    return sections(group(store))


def test_the_questions_in_order(found):
    assert [section.question for section in found] == [
        "What came out?",
        "What was compared, and how far can it be trusted?",
        "Which strategy is best, and how sure is that?",
        "What does protection cost?",
        "When does forgetting happen?",
        "Which model loses how much?",
    ]
    scenarios = ["rotated", "same data", "split"]
    assert [[group.title for group in section.groups] for section in found] == [
        [*scenarios, "All 3 scenarios together"],
        [*scenarios, "Caveats"],
        [*scenarios, "All 3 scenarios together"],
        scenarios,
        scenarios,
        scenarios,
    ]


def test_the_page_names_every_interval_that_it_has(found):
    (intro,) = (section.intro for section in found if section.name == "compared")
    assert "everywhere" not in intro
    assert all(name in intro for name in ("Student", "bootstrap", "Fieller", "Wilson"))


def test_names_are_file_names_and_unique(found):
    parts = [p for section in found for p in section.parts if isinstance(p, Plot | Table)]
    names = [part.name for part in parts]
    assert "scenario-rotated-curves" in names
    assert "ranking-all-ranks" in names
    assert len(names) == len(set(names)) == 47
    assert all(name.replace("-", "").isalnum() for name in names)
    assert all(len(part.data) for part in parts)


def test_metrics_that_some_scenarios_lack_have_a_comparison_of_their_own(record):
    matrices = {"a": [[0.9, 0.1], [0.5, 0.8]], "b": [[0.8, 0.1], [0.6, 0.8]], "one": [[0.9]]}
    runs = [
        record(matrix, scenario=name, strategy=strategy, seed=seed)
        for name, matrix in matrices.items()
        for strategy in ("finetune", "freeze")
        for seed in (0, 1)
    ]
    [ranking] = (section for section in sections(group(runs)) if section.name == "ranking")
    together = [g for g in ranking.groups if g.scenario == "all"]
    assert {g.title for g in together} == {
        "2 of 3 scenarios together",
        "All 3 scenarios together",
    }
    assert all(g.titled for g in together) and len({g.id for g in together}) == 2
    names = [part.name for part in ranking.titled_parts]
    assert len(names) == len(set(names))
    assert {"ranking-all-means", "ranking-all-average-accuracy-means"} < set(names)


def test_tables_have_every_metric_and_explain_it(found):
    titles = {column.title for section in found for column in section.columns}
    shown = METRICS.keys() - {*SEARCH}  # these runs are none
    assert {metric.replace("_", " ") for metric in shown} <= titles
    assert "seeds" not in titles


def test_a_variant_without_finished_runs_stays_in_the_tables(found):
    tables = [p for section in found for p in section.parts if isinstance(p, Table)]
    [table] = [table for table in tables if table.name == "scenario-rotated-metrics"]
    by_name = {row.cells[0]: table.entries(row) for row in table.rows}
    entries = [entry for _, entry in by_name["wpl, strength 1e8"]]
    assert [entry.text for entry in entries[1:-1]] == ["–"] * (len(table.columns) - 2)
    assert (entries[-1].text, entries[-1].note) == ("0", "+\u202f1 failed")
    assert table.entries(table.rows[0])[1][1].interval.startswith("[")


def test_without_finished_runs_only_words_are_left(record):
    [only] = sections(group([record(error="out of memory")]))
    assert only.name == "compared"
    assert "No run finished" in only.groups[0].parts[0].paragraph


LEFT = [[0.9, 0.1], [0.7, 0.9]]
ODD = {
    "no points": (LEFT, [[]], [[], []]),
    "unknown points": (LEFT, [[0.1, None]], [[None, 0.7], [0.1, float("nan")]]),
    "unknown entries": ([[None, 0.1], [0.7, None]], [[0.1, 0.9]], [[0.9, 0.7], [0.1, 0.9]]),
    "one model": ([[0.9]], [[0.1, 0.9]], None),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("seeds", [1, 3])
def test_odd_runs_make_a_report_that_does_not_hang_on_their_order(record, case, seeds):
    matrix, *lines = ODD[case]
    curves = [
        {"model": i, "steps": [0, 5][: len(accuracy[0])], "accuracy": accuracy}
        for i, accuracy in enumerate(lines)
        if accuracy is not None
    ]
    made = [
        record(matrix, strategy=name, strength=strength, seed=seed, curves=curves,
               references={"baseline": matrix})
        for seed in range(seeds)
        for name, strength in (("finetune", None), ("freeze", None), ("wpl", 1.0), ("wpl", 10.0))
    ]  # fmt: skip
    there, back = (sections(group(records)) for records in (made, made[::-1]))
    assert [s.name for s in there] == [s.name for s in back]
    for one, other in zip(there, back, strict=True):
        for part, beside in zip(one.parts, other.parts, strict=True):
            if isinstance(part, Board):
                assert part.lines == beside.lines
                part, beside = part.table, beside.table
            if isinstance(part, Table):
                assert part.data.equals(beside.data), part.name
            elif not isinstance(part, Plot):
                assert part == beside
