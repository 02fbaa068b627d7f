import pytest

from palimpsest.benchmark.cli.printing.summary import Notes, print_summary, summary_cell
from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.reports.formats.terminal import SUMMARY_METRICS, SummaryRow, summary_rows
from palimpsest.reports.statistics.interval import mean_estimate


def test_rows_by_hand(record):
    lost = [[0.9, 0.1], [0.5, 0.9]]
    made = [
        record(lost, references={"baseline": lost}),
        record([[0.9, 0.1], [0.7, 0.9]], seed=1, references={"baseline": lost}),
        record(seed=2, error="no"),
    ]
    (row,) = summary_rows(made)
    assert (row.scenario, row.variant, row.seeds, row.failed) == ("same", "finetune", 2, 1)
    assert row.metrics["stability"].value == pytest.approx(0.6)
    assert row.metrics["stability"].seeds == (0.5, 0.7)
    assert row.metrics["stability"].low is None
    assert row.metrics["forgetting_reduction"].value == pytest.approx(0.25)
    assert row.metrics["plasticity"].value is None
    assert tuple(row.metrics) == SUMMARY_METRICS


def cell(values, seeds, notes):
    found = {"stability": mean_estimate({"": values}, ACCURACY)}
    row = SummaryRow("same", "ewc", seeds, 0, found)
    return summary_cell(row, "stability", notes).splitlines()


def test_a_cell_of_the_table_says_what_pins_it_down_and_notes_of_how_many_seeds_it_is():
    notes = Notes()
    for _ in range(2):
        assert cell([0.9, 0.91, 0.2, 0.92, 0.9], 5, notes) == ["*1 76.6", "[37.3,\xa0100.0]"]
    assert cell({0: 0.4, 1: 0.6}, 5, notes) == ["*2 50.0", "(40.0, 60.0)"]
    assert cell([0.5], 1, notes) == ["50.0"]
    assert cell([None], 1, notes) == ["-"]
    assert notes.lines == ["*1 1 of 5 seeds far below", "*2 2 of 5 seeds"]


def test_the_terminal_says_where_there_is_nothing_to_remove(record, capsys):
    plain, ours = [[0.9, 0.1], [0.899, 0.9]], [[0.9, 0.1], [0.85, 0.9]]
    references = {"baseline": plain}
    plain_run = record(plain, references=references)
    print_summary([plain_run, record(ours, strategy="wpl", strength=1.0, references=references)])
    *_, wpl, why = capsys.readouterr().out.rstrip().splitlines()
    assert wpl.split()[-3:] == ["*1", "-", "1"]
    assert why == "*1 forgetting reduction: nothing to remove"
