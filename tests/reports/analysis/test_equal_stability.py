"""Two frontiers read off at the same stability, against hand-made frontiers."""

from dataclasses import replace

import numpy as np
import pytest

from palimpsest.reports.analysis.choosing.equal_stability import at_equal_stability
from palimpsest.reports.runs.cells import group


@pytest.fixture
def cells(record):
    """Cells of a path of (A at the end, B); each seed is shifted by ``shift(seed)``."""

    def make(points, seeds=4, shift=lambda seed: 0.0, before=0.9):
        records = []
        for place, (a, b) in enumerate(points):
            kind = "finetune" if place == 0 else "freeze" if place == len(points) - 1 else "wpl"
            strength = float(place) if kind == "wpl" else None
            for seed in range(seeds):
                move = shift(seed)
                matrix = [[before + move, 0.1], [a + move, b + move]]
                records.append(record(matrix, strategy=kind, strength=strength, seed=seed))
        return group(records)

    return make


PLAIN, FROZEN = (0.5, 0.9), (0.9, 0.6)


def test_points_on_straight_lines_are_read_off(cells):
    ours = cells([PLAIN, (0.7, 0.85), FROZEN])
    theirs = cells([PLAIN, FROZEN])
    half, most, all_ = at_equal_stability(ours, theirs, [0.5, 0.75, 1.0])
    assert half.own.value == pytest.approx(0.85)
    assert half.other.value == pytest.approx(0.75)
    assert half.difference.value == pytest.approx(0.1)
    assert most.own.value == pytest.approx((0.85 + 0.6) / 2)
    assert most.other.value == pytest.approx(0.675)
    assert all_.own.value == pytest.approx(0.6)
    assert all_.difference.value == pytest.approx(0.0, abs=1e-12)


def test_the_better_crossing_counts_where_a_path_turns(cells):
    ours = cells([PLAIN, (0.8, 0.7), (0.6, 0.95), FROZEN])
    theirs = cells([PLAIN, FROZEN])
    (half,) = at_equal_stability(ours, theirs, [0.5])
    crossings = [0.9 - 2 / 3 * 0.2, 0.95 - 0.5 * 0.25, 0.95 - 1 / 3 * 0.35]
    assert half.own.value == pytest.approx(max(crossings))


def test_what_all_of_a_seed_share_leaves_no_doubt_in_the_difference(cells):
    ours = cells([PLAIN, (0.7, 0.85), FROZEN], shift=lambda seed: 0.02 * seed)
    theirs = cells([PLAIN, FROZEN], shift=lambda seed: 0.02 * seed)
    (half,) = at_equal_stability(ours, theirs, [0.5])
    assert half.difference.low == pytest.approx(0.1)
    assert half.difference.high == pytest.approx(0.1)


def test_the_interval_is_students_for_a_difference_at_a_point(record):
    """Where both frontiers have a point at the level, the difference is that of the points."""
    rng = np.random.default_rng(0)
    b = {name: 0.8 + 0.03 * rng.standard_normal(10) for name in ("own", "other")}

    def path(name):
        records = []
        for seed in range(10):
            for strategy, strength, a, value in (
                ("finetune", None, 0.5, 0.9),
                ("wpl", 1.0, 0.7, b[name][seed]),
                ("freeze", None, 0.9, 0.6),
            ):
                matrix = [[0.9, 0.1], [a, float(value)]]
                run = record(matrix, strategy=strategy, strength=strength, seed=seed)
                records.append(run)
        return group(records)

    (half,) = at_equal_stability(path("own"), path("other"), [0.5])
    gap = b["own"] - b["other"]
    expected = 2.262 * gap.std(ddof=1) / np.sqrt(10)
    assert half.difference.value == pytest.approx(gap.mean())
    assert half.difference.high - half.difference.value == pytest.approx(expected, rel=0.05)


def test_a_level_that_is_not_reached_has_no_value(cells):
    short = cells([PLAIN, (0.6, 0.88)])
    (half,) = at_equal_stability(short, cells([PLAIN, FROZEN]), [0.5])
    assert half.own.value is None
    assert half.other.value == pytest.approx(0.75)
    assert half.difference.value is None


def test_without_a_common_seed_there_is_nothing(cells):
    ours, theirs = cells([PLAIN, FROZEN], seeds=1), cells([PLAIN, FROZEN], seeds=2)
    last = [replace(cell, done=cell.done[1:]) for cell in theirs]
    (half,) = at_equal_stability(ours, last, [0.5])
    assert (half.own.value, half.difference.value, half.difference.n) == (None, None, 0)


def test_a_strength_that_lost_seeds_has_no_place(cells):
    ours = cells([PLAIN, (0.7, 0.95), FROZEN])
    lost = [replace(c, done=c.done[1:]) if c.variant.kind == "wpl" else c for c in ours]
    (half,) = at_equal_stability(lost, cells([PLAIN, FROZEN]), [0.5])
    assert half.own.value == pytest.approx(0.75)
    assert half.difference.value == pytest.approx(0.0, abs=1e-12)
