"""What searches show: in the report, in the terminal, and of a single run."""

from pathlib import Path

import pytest
from one_run import execute

from benchmark.cli import main
from benchmark.metrics import METRICS
from benchmark.store import Store
from reports.formats.terminal import SEARCH_METRICS, summary_rows
from reports.runs.cells import group
from reports.tables.metrics import SEARCH, search_table


@pytest.fixture(scope="module")
def records(make_runs):
    runs = make_runs({"finetune": {}, "l2": {"strengths": [1]}}, seeds=2, ranked=2)
    return [execute(run, Path("/nowhere")) for run in runs]


def test_every_measure_of_a_search_is_in_its_table(records):
    table = search_table(group(records), "search")
    titles = [column.title for column in table.columns]
    of_visits = [name for name, metric in METRICS.items() if metric.needs == ("visits",)]
    assert set(of_visits) == set(SEARCH)
    assert {METRICS[name].title for name in SEARCH} <= set(titles)
    assert not any("perplexity" in title for title in titles)
    perplexities = [n for n, m in METRICS.items() if m.needs == ("visits_perplexity",)]
    assert set(perplexities) == {f"{name}_perplexity" for name in SEARCH}


def test_the_terminal_has_them_beside_the_average(records):
    rows = summary_rows(records)
    assert [tuple(row.metrics) for row in rows] == [("average_accuracy", *SEARCH_METRICS)] * 2


def test_a_run_and_a_report_are_shown(records, tmp_path, capsys):
    store = tmp_path / "runs.db"
    with Store(store, create=True) as opened:
        for record in records:
            opened.put(record)
        assert opened.records()[0].probes == records[0].probes
    for arguments in (
        ["show", "run", records[0].key, "--store", store],
        ["report", store, "--output", tmp_path / "report.html"],
    ):
        with pytest.raises(SystemExit) as left:
            main([*map(str, arguments)])
        assert not left.value.code
    assert "visit forgetting" in capsys.readouterr().out
    assert "What visits gain" in (tmp_path / "report.html").read_text()
