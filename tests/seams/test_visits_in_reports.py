"""Runs without an accuracy matrix: reports show accuracies at the end, and say nothing false."""

from dataclasses import replace

import pytest
from one_run import execute

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.cli.printing.summary import print_summary
from palimpsest.benchmark.metrics import METRICS, Metric
from palimpsest.benchmark.store.store import Store
from palimpsest.reports.analysis.quantities import QUANTITIES, interval, quantity_named
from palimpsest.reports.analysis.remarks.coincidence import coinciding
from palimpsest.reports.html.report import write_report
from palimpsest.reports.html.runs_table import run_columns
from palimpsest.reports.html.sections import sections
from palimpsest.reports.runs.cells import group
from palimpsest.reports.runs.merge import same_results
from palimpsest.reports.tables.metrics import TRANSFER, metrics_table
from palimpsest.reports.tables.table import Table

SPACE = {"family": "space", "samples": 120, "batch_size": 20, "width": 8, "rounds": 1}


@pytest.fixture(scope="module")
def records(make_runs, root):
    strategies = {"finetune": {}, "freeze": {}, "wpl": {"strengths": [1, 100]}}
    return [execute(run, root) for run in make_runs(strategies, SPACE, seeds=(0, 1))]


@pytest.fixture(scope="module")
def in_turn(make_runs, root):
    scenario = {"family": "two_models", "data": "digits", "steps": 5, "width": 8}
    (run,) = make_runs({"finetune": {}}, scenario)
    return execute(run, root)


def partly(record):
    """The same run, with a last moment that leaves a model out."""
    last = record.moments[-1]
    cut = {name: [None, *last[name][1:]] for name in ("accuracy", "validation_accuracy")}
    return replace(record, moments=[*record.moments[:-1], last | cut])


def stored(path, records):
    with Store(path, create=True) as store:
        for record in records:
            store.put(record)
    return path


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    found = capsys.readouterr()
    return left.value.code, found.out, found.err


def test_a_report_shows_the_end_and_claims_nothing(records, tmp_path):
    write_report(records, tmp_path / "report.html", sources=["runs.db"], command="report")
    text = (tmp_path / "report.html").read_text()
    assert "With finetune, models end at " in text
    assert "(chosen among 2): average accuracy " in text
    assert "bit for bit, at every strength" not in text
    assert "forget –" not in text
    assert "no strength could be chosen" not in text


def test_tables_have_columns_for_what_the_runs_have(records):
    cells = group(records)
    table = metrics_table(cells)
    assert [column.title for column in table.columns[1:]] == ["average accuracy", "seeds"]
    for row, cell in zip(table.rows, cells, strict=True):
        assert row.cells[1].value == pytest.approx(
            sum(record.metrics["average_accuracy"] for record in cell.done) / 2
        )
    assert set(table.data["metric"]) == {"average_accuracy"}
    assert metrics_table(cells, "", TRANSFER) is None
    titled = {column.name for column in run_columns(cells) if column.title}
    assert titled & {*METRICS} == {"average_accuracy"}
    found = sections(cells)
    ranked = [part for section in found if section.name == "ranking" for part in section.parts]
    assert [part.title for part in ranked if isinstance(part, Table)] == ["average accuracy"]
    names = {part.name for section in found for part in section.parts if hasattr(part, "name")}
    assert {"scenario-it-choice", "scenario-it-sweep"} <= names
    assert "scenario-it-frontiers" not in names


def test_a_metric_of_a_plugin_has_a_table_where_it_applies(records, in_turn, registries):
    def first(moments):
        return moments[0]["accuracy"][0]

    with registries():
        METRICS["first"] = Metric("first", first, "the first model at first", needs=("moments",))
        assert metrics_table(group(records), "", ["first"]) is not None
        assert metrics_table(group([in_turn]), "", ["first"]) is None
        assert in_turn.metrics["first"] is None


def test_a_last_visit_that_leaves_a_model_out_is_told(records, tmp_path, capsys):
    cut = [partly(record) for record in records]
    assert {value for record in cut for value in record.metrics.values()} == {None}
    write_report(cut, tmp_path / "report.html", sources=["runs.db"], command="report")
    text = (tmp_path / "report.html").read_text()
    assert "no average accuracy: not all models are evaluated after the last visit." in text
    assert "(no accuracies at the end to choose by: the last visit evaluates only some" in text
    path = stored(tmp_path / "cut.db", cut)
    again = tmp_path / "again.db"
    again.write_bytes(path.read_bytes())
    assert command(capsys, "compare", path, again)[0] == 0
    code, _, told = command(capsys, "compare", path, again, "--fail-on", "regression")
    assert (code, "nothing was compared" in told) == (2, True)


def test_runs_are_listed_and_summed_up_by_their_ends(records, in_turn, tmp_path, capsys):
    store = stored(tmp_path / "runs.db", records)
    _, out, _ = command(capsys, "list", "runs", "--store", store)
    head = out.splitlines()[0].split()
    assert [name for name in head if name in METRICS] == ["average_accuracy"]
    assert f"{100 * records[0].metrics['average_accuracy']:.1f}" in out.splitlines()[1]
    stored(store, [in_turn])
    _, out, _ = command(capsys, "list", "runs", "--store", store)
    assert {"stability", "average_accuracy"} <= {*out.splitlines()[0].split()}
    print_summary(records)
    out = capsys.readouterr().out
    assert "accuracy  seeds" in out
    assert "forgetting" not in out
    print_summary([in_turn])
    out = capsys.readouterr().out
    assert "average" in out
    assert "forgetting" in out


def test_a_page_has_the_end_and_a_dash_for_what_needs_an_order(records):
    plain, *others = group(records)
    for cell in (plain, *others):
        for name, quantity in QUANTITIES.items():
            known = interval(quantity, cell, plain).value is not None
            if name == "free":
                assert known == (cell.variant.kind == "freeze")
                continue
            assert known == (quantity.needs == ("cost",)), name
        assert interval(quantity_named("average_accuracy"), cell, plain).value is not None


def test_moments_are_results(records):
    assert not coinciding(group(records))
    one = next(record for record in records if record.strategy == "finetune")
    assert same_results(one, replace(one))
    assert not same_results(one, replace(one, moments=[]))
