"""Runs without an accuracy matrix: reports leave out what is not there, and say nothing false."""

from dataclasses import replace

import pytest

from benchmark.cli.progress import outcome
from benchmark.runner import execute
from reports.analysis.coincidence import coinciding
from reports.html.report import write_report
from reports.runs.cells import group
from reports.runs.merge import same_results

SPACE = {"family": "space", "samples": 120, "batch_size": 20, "width": 8}


@pytest.fixture(scope="module")
def records(make_runs, root):
    strategies = {"finetune": {}, "freeze": {}, "wpl": {"strengths": [1, 100]}}
    return [execute(run, root) for run in make_runs(strategies, SPACE, seeds=(0, 1))]


def test_a_report_is_written_and_claims_nothing(records, tmp_path):
    write_report(records, tmp_path / "report.html", sources=["runs.db"], command="report")
    text = (tmp_path / "report.html").read_text()
    assert "the models are trained by turns" in text
    assert "bit for bit, at every strength" not in text
    assert "forget –" not in text


def test_moments_are_results(records):
    assert not coinciding(group(records))
    one = next(record for record in records if record.strategy == "finetune")
    assert same_results(one, replace(one))
    assert not same_results(one, replace(one, moments=[]))


def test_progress_ends_in_the_time(records):
    assert outcome(records[0]).startswith("done it finetune seed 0 (")
