"""What searches show: in the report, in the terminal, and of a single run."""

from dataclasses import replace
from pathlib import Path

import pytest
from one_run import execute

from palimpsest.benchmark.cli.printing.summary import print_summary
from palimpsest.benchmark.metrics import METRICS
from palimpsest.reports.formats.terminal import SEARCH_METRICS, summary_rows
from palimpsest.reports.runs.cells import group
from palimpsest.reports.tables.metrics import SEARCH, metrics_table
from palimpsest.reports.wording.numbers import decimals


@pytest.fixture(scope="module")
def records(make_runs):
    runs = make_runs({"finetune": {}, "l2": {"strengths": [1]}}, seeds=2, ranked=2)
    return [execute(run, Path("/nowhere")) for run in runs]


def test_every_measure_of_a_search_is_in_its_table(records):
    table = metrics_table(group(records), "Visits", SEARCH)
    titles = [column.title for column in table.columns]
    of_visits = [name for name, metric in METRICS.items() if metric.needs == ("visits",)]
    assert {METRICS[name].title for name in of_visits} <= set(titles)
    assert not any("perplexity" in title for title in titles)
    perplexities = [n for n, m in METRICS.items() if m.needs == ("visits_perplexity",)]
    assert {*SEARCH} == {*of_visits, *perplexities}


def of_text(record):
    """The same run, as if its errors were perplexities: 100 times as much, from 1 on."""
    search = record.probes["search"]
    rows = [
        row | {name: 1 + 100 * row[name] for name in ("before", "after", "end")}
        for row in search["rows"]
    ]
    return replace(record, probes={"search": search | {"rows": rows, "perplexity": True}})


def test_the_terminal_shows_perplexities_as_they_are(records, capsys):
    print_summary([of_text(record) for record in records])
    out = capsys.readouterr().out
    assert "per cent and perplexity, means" in out
    errors = [r.metrics["visited_error"] for r in records if r.strategy == "finetune"]
    rows = summary_rows([of_text(record) for record in records])
    assert tuple(rows[0].metrics) == ("average_accuracy", *SEARCH_METRICS[3:])
    for row in rows:
        for name in SEARCH_METRICS[3:]:
            assert decimals(row.metrics[name].value) in out
    found = rows[0].metrics["visited_error_perplexity"].value
    assert found == pytest.approx(1 + 100 * sum(errors) / len(errors))
