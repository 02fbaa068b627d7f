from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from palimpsest.reports.runs.clock import elapsed, most_at_once

BEGIN = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def runs(record):
    def make(*spans):
        plain = record([[0.9]])
        return [
            replace(
                plain,
                started=(BEGIN + timedelta(seconds=start)).isoformat(),
                seconds=float(seconds),
            )
            for start, seconds in spans
        ]

    return make


def test_overlaps_count_once_and_pauses_not_at_all(runs):
    assert elapsed(runs((0, 10), (5, 10), (100, 7), (101, 2))) == 15 + 7


def test_short_gaps_are_rounding(runs):
    """A run of 1.9 s from 0.9 s on is stored as from 0 to 1.9, and the next from 2.8 as from 2."""
    assert elapsed(runs((0, 1.9), (2, 1.9), (4, 1.9))) == pytest.approx(5.9)


def test_against_a_clock_that_ticks(runs):
    rng = np.random.default_rng(3)
    starts, lengths = 5 * rng.integers(0, 180, 30), 5 * rng.integers(1, 9, 30)  # pauses: 0, 5, ...
    spans = [(int(start), float(length)) for start, length in zip(starts, lengths, strict=True)]
    tenths = np.arange(0, 10_000) / 10
    going = np.sum([(tenths >= a) & (tenths < a + b) for a, b in spans], axis=0)
    assert (going == 0).sum() > 0 and elapsed(runs(*spans)) == pytest.approx((going > 0).sum() / 10)
    sure = np.sum([(tenths >= a + 1) & (tenths < a + b) for a, b in spans], axis=0)
    assert most_at_once(runs(*spans)) == sure.max() > 1


def test_one_worker_is_one_in_spite_of_whole_seconds(runs):
    """Runs of 2.9 s, one after another from 0.9 s on, seem to overlap by up to a second."""
    starts = [0.9 + 2.9 * place for place in range(20)]
    assert most_at_once(runs(*((int(start), 2.9) for start in starts))) == 1


def test_two_workers_are_two(runs):
    starts = [0.9 + 2.9 * place for place in range(20)]
    both = [*starts, *(start + 1.3 for start in starts)]
    assert most_at_once(runs(*((int(start), 2.9) for start in both))) == 2


def test_runs_too_short_to_tell_are_one(runs):
    assert most_at_once(runs((0, 0.2), (0, 0.2))) == 1
    assert most_at_once([]) == 0
