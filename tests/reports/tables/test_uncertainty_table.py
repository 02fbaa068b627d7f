"""How sure models are, as a reader sees it: frame, table, section, page and run details."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats

from palimpsest.reports.analysis.choosing.variants import Catalog
from palimpsest.reports.html.sections import sections
from palimpsest.reports.markdown.study import Study
from palimpsest.reports.runs.cells import group
from palimpsest.reports.tables.uncertainty import uncertainty_table

MATRIX = [[0.9, 0.1], [0.6, 0.8]]
SEEDS = 5


def rows_of(rng, weights, moments=("before", "after")):
    return [
        {
            "model": model,
            "moment": moment,
            "weights": own,
            "accuracy": float(rng.uniform(0.5, 0.9)),
            "nll": float(rng.uniform(0.3, 2)),
            "ece": float(rng.uniform(0, 0.3)),
        }
        for moment, model, own in product(moments, range(2), weights)
    ]


@pytest.fixture
def runs(record):
    """A strategy with a posterior, one without, joint training, and one that was not probed."""
    rng, made = np.random.default_rng(0), []
    for seed in range(SEEDS):
        for name, rows in {
            "finetune": rows_of(rng, ["mean"]),
            "laplace": rows_of(rng, ["mean", "sampled"]),
            "joint": rows_of(rng, ["mean"], ["after"]),
        }.items():
            run = record(MATRIX, strategy=name, seed=seed)
            made.append(replace(run, probes={"uncertainty": {"rows": rows}}))
        made.append(record(MATRIX, strategy="ewc", seed=seed))
    return made


def values(runs, strategy, column, moment, weights):
    """The mean over models of each seed."""
    return [
        np.mean(
            [
                row[column]
                for row in run.probes["uncertainty"]["rows"]
                if (row["moment"], row["weights"]) == (moment, weights)
            ]
        )
        for run in runs
        if run.strategy == strategy
    ]


def test_the_table_has_means_and_students_intervals_of_both_weights(runs):
    table = uncertainty_table(group(runs))
    titles = [column.title for column in table.columns]
    cells = {tuple(row.cells[:2]): dict(zip(titles, row.cells, strict=True)) for row in table.rows}
    assert set(cells) == {
        ("finetune", "mean weights"),
        ("joint", "mean weights"),
        ("laplace", "mean weights"),
        ("laplace", "average of draws"),
    }
    for name, column in (("accuracy", "accuracy"), ("NLL", "nll"), ("calibration error", "ece")):
        for moment in ("before", "after"):
            found = cells["laplace", "average of draws"][f"{name} {moment}"]
            own = values(runs, "laplace", column, moment, "sampled")
            low, high = stats.t.interval(0.95, SEEDS - 1, np.mean(own), stats.sem(own))
            assert found.value == pytest.approx(np.mean(own))
            assert (found.low, found.high) == pytest.approx((max(low, 0), high))
    assert cells["joint", "mean weights"]["NLL before"].value is None
    texts = [entry.text for _, entry in table.entries(table.rows[0])]
    own = values(runs, "finetune", "nll", "before", "mean")
    assert texts[4] == f"{np.mean(own):.2f}"


def test_numbers_of_fewer_seeds_say_how_many(runs):
    of = {i: [*run.probes["uncertainty"]["rows"]] for i, run in enumerate(runs) if run.probes}
    probed = [i for i, run in enumerate(runs) if run.strategy == "laplace"]
    runs[probed[0]] = replace(runs[probed[0]], probes={})
    sampled = [row for row in of[probed[1]] if row["weights"] == "sampled"]
    for row in sampled:
        row["nll"] = None
    table = uncertainty_table(group(runs))
    titles = [column.title for column in table.columns]
    for row in table.rows:
        own = dict(zip(titles, (entry for _, entry in table.entries(row)), strict=True))
        notes = {title: entry.note for title, entry in own.items() if entry.note}
        if row.cells[0] == "laplace":
            assert own["seeds"].text == "5"
            assert notes["accuracy after"] == "4 seeds"
            fewer = "3 seeds" if row.cells[1] == "average of draws" else "4 seeds"
            assert notes["NLL after"] == fewer
        else:
            assert not notes


def uncertainty_sections(runs):
    return [section for section in sections(group(runs)) if section.name == "uncertainty"]


def test_the_section_is_there_only_where_runs_have_it(runs):
    (found,) = uncertainty_sections(runs)
    assert found.question == "How sure are models of what they predict, before and after?"
    assert [part.name for part in found.parts] == ["scenario-same-uncertainty"]
    assert uncertainty_sections([replace(run, probes={}) for run in runs]) == []


def test_a_page_asks_for_a_paired_difference(runs):
    study = Study(runs, Catalog.of("made", group(runs)))
    rows = {"moment": "after", "weights": "mean"}
    ours, theirs = (values(runs, name, "nll", "after", "mean") for name in ("laplace", "finetune"))
    found = study.probed_difference("same", "laplace", "finetune", "uncertainty", "nll", rows)
    gaps = np.subtract(ours, theirs)
    assert found.mean == pytest.approx(np.mean(gaps))
    low, high = stats.t.interval(0.95, SEEDS - 1, np.mean(gaps), stats.sem(gaps))
    assert (found.low, found.high, found.n) == (pytest.approx(low), pytest.approx(high), SEEDS)
    assert found.p is not None
    drawn = study.probed_difference(
        "same", "laplace", "laplace", "uncertainty", "nll", rows | {"weights": "sampled"}, rows
    )
    gaps = np.subtract(values(runs, "laplace", "nll", "after", "sampled"), ours)
    assert drawn.mean == pytest.approx(np.mean(gaps))
    of_columns = study.probed_difference(
        "same", "laplace", "laplace", "uncertainty", "nll", rows, other_column="ece"
    )
    gaps = np.subtract(ours, values(runs, "laplace", "ece", "after", "mean"))
    assert of_columns.mean == pytest.approx(np.mean(gaps))
