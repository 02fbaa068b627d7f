"""What the probes saw, as frames and figures."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.benchmark.probes import PROBES
from palimpsest.reports.figures.drawing.intervals import drawn_range
from palimpsest.reports.figures.figure import ReportRuns, figures
from palimpsest.reports.figures.inside.blocks import means_over_seeds
from palimpsest.reports.figures.inside.distance import distance_frame
from palimpsest.reports.figures.inside.refit import refit_frame
from palimpsest.reports.figures.inside.unmerged import unmerged_frame
from palimpsest.reports.formats.svg import svg_element
from palimpsest.reports.runs.cells import group
from palimpsest.reports.runs.probes import WHOLE

QUANTILES = ("q0", "q0.01", "q0.05", "q0.25", "q0.5", "q0.75", "q0.95", "q0.99", "q1")
BLOCKS = ("trunk_0", "trunk_1")
VARIANTS = (("finetune", None), ("freeze", None), ("joint", None), ("wpl", 1.0), ("wpl", 1e4))


def probed(strategy, strength, seed):
    """What the probes of a run of three models with two shared blocks might have seen."""
    rng = np.random.default_rng([seed, len(strategy)])
    penalty, joint = strategy == "wpl", strategy == "joint"
    distance = [
        {
            "model": model,
            "block": block,
            "moved": 2 * rng.random(),
            "relative": rng.random(),
            "from_anchor": rng.random() if penalty else None,
            "weighted": rng.random() if penalty else None,
        }
        for model in (1, 2)
        for block in (*BLOCKS, None)
    ]
    values = np.sort(rng.lognormal(-9, 3, len(QUANTILES)))
    values[:3] = 0
    importance = [
        {
            "model": m,
            "block": b,
            "mean": 0.1,
            "zero": 0.2,
            **dict(zip(QUANTILES, values, strict=True)),
        }
        for m in range(3)
        for b in (*BLOCKS, f"head_{m}")
    ]
    similarity = [
        {"trained": trained, "model": model, "block": block, "cka": 1 - 0.1 * rng.random()}
        for trained in (1, 2)
        for model in range(trained)
        for block in BLOCKS
    ]
    overlap = [
        {"model": model, "earlier": earlier, "block": block, "jaccard": rng.random()}
        for model in (1, 2)
        for earlier in range(model)
        for block in (*BLOCKS, None)
    ]
    unmerged = [{"model": m, "unmerged": 0.9, "merged": 0.8 - 0.25 * m} for m in (0, 1)]
    refit = [{"model": model, "before": 0.5, "after": 0.8 + 0.1 * rng.random()} for model in (0, 1)]
    return {
        "distance": {"absent": "at once"} if joint else {"rows": distance},
        "importance": {"rows": importance} if penalty else {"absent": "none"},
        "overlap": {"absent": "at once"} if joint else {"rows": overlap},
        "similarity": {"absent": "at once"} if joint else {"rows": similarity},
        "refit": {"rows": refit},
        "unmerged": {"absent": "none"} if joint else {"rows": unmerged},
    }


@pytest.fixture
def cells(record):
    nothing = [[None] * 3] * 2
    matrix = [[0.9, 0.1, 0.1], [0.7, 0.85, 0.1], [0.5, 0.5, 0.8]]
    return group(
        [
            replace(
                record(
                    [*nothing, matrix[2]] if strategy == "joint" else matrix,
                    strategy=strategy,
                    strength=strength,
                    seed=seed,
                ),
                probes=probed(strategy, strength, seed),
            )
            for strategy, strength in VARIANTS
            for seed in range(3)
        ]
    )


def inside(cells):
    """The figures of the probes of one scenario, by what a notebook calls them."""
    (scope,) = ReportRuns(cells).scenarios
    made = {name: f.build(scope) for name, f in figures().items() if f.section == "inside"}
    return {name: plot for name, plot in made.items() if plot is not None}


def test_frames_hold_what_was_recorded(cells):
    (wpl,) = (cell for cell in cells if cell.variant.label == "wpl, strength 1")
    record = wpl.done[2]
    frame = distance_frame(cells)
    own = frame[(frame["variant"] == wpl.variant.label) & (frame["seed"] == record.seed)]
    recorded = record.probes["distance"]["rows"]
    assert own["weighted"].tolist() == [row["weighted"] for row in recorded]
    plain = frame[frame["variant"] == "finetune"]
    assert plain["from_anchor"].isna().all()


def test_refits_stand_beside_what_was_learned(cells):
    frame = refit_frame(cells).set_index(["variant", "seed", "model"])
    assert frame.loc[("finetune", 0, 0), "learned"] == 0.9
    assert frame.loc[("finetune", 0, 1), "learned"] == 0.85
    assert frame.loc[("finetune", 0, 1), "before"] == 0.5
    assert np.isnan(frame.loc[("joint", 0, 0), "learned"])


def test_models_stand_unmerged_beside_merged_and_the_end(cells):
    frame = unmerged_frame(cells).set_index(["variant", "seed", "model"])
    assert len(frame) == 4 * 3 * 2
    assert frame.loc[("freeze", 1, 1)].tolist()[1:] == [0.9, 0.55, 0.5]


def test_refits_of_models_trained_by_turns_have_nothing_learned(cells):
    (cell,) = (cell for cell in cells if cell.variant.label == "freeze")
    frame = refit_frame(
        [replace(cell, done=tuple(replace(r, accuracy_matrix=[]) for r in cell.done))]
    )
    assert len(frame) == 3 * 2
    assert frame["learned"].isna().all()


def test_models_are_averaged_within_a_seed_and_then_seeds(cells):
    frame = refit_frame(cells)
    found = means_over_seeds(frame, ["variant"], "after")["freeze",]
    own = frame[frame["variant"] == "freeze"]
    seeds = [own[own["seed"] == seed]["after"].mean() for seed in range(3)]
    assert found.value == pytest.approx(np.mean(seeds))
    assert drawn_range(found)[1:] == pytest.approx((min(seeds), max(seeds)))


def test_from_four_seeds_on_a_line_is_the_interval_within_its_limits():
    values = [0.9, 0.8, 0.95, 1.0]
    frame = pd.DataFrame({"variant": "wpl", "seed": range(4), "cka": values})
    (found,) = means_over_seeds(frame, ["variant"], "cka", ACCURACY).values()
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert found.low == pytest.approx(low)
    assert high > found.high == 1.0


def test_there_is_a_plot_for_each_probe_that_saw_something(cells, record):
    drawn = {figure.notebook for figure in figures().values() if figure.section == "inside"}
    assert {*inside(cells)} == drawn <= {*PROBES}
    assert inside(group([record([[0.9]])])) == {}


def words(plot):
    root = ElementTree.fromstring(svg_element(plot))
    return [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_importances_that_are_all_zero_can_be_drawn(record):
    seen = probed("wpl", 1.0, 0)
    for row in seen["importance"]["rows"]:
        row.update(dict.fromkeys(QUANTILES, 0.0), zero=1.0)
    cells = group([replace(record([[0.9, 0.1], [0.5, 0.8]]), probes=seen)])
    assert "100 %" in words(inside(cells)["importance"])


def test_many_blocks_go_over_several_lines_in_order(record):
    rows = [
        {"model": 1, "block": f"layer_{p}", "relative": 0.1, "moved": 1.0}
        for p in (10, 2, 0, 1, 3, 4, 5)
    ]
    rows.append({"model": 1, "block": None, "relative": 0.1, "moved": 1.0})
    run = replace(record([[0.9, 0.1], [0.5, 0.8]]), probes={"distance": {"rows": rows}})
    cells = group([run])
    (plot,) = inside(cells).values()
    titles = [word for word in words(plot) if word.startswith(("layer", "all"))]
    assert titles == [*(f"layer {p}" for p in (0, 1, 2, 3, 4, 5, 10)), WHOLE]
