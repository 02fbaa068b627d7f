"""The numbers that a page can ask for, by name.

``R[i][j]`` is the test accuracy of model j after model i was trained, T the number of models
(see ``benchmark/metrics``). Models before the last are *earlier* ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.metrics import (
    CHANGE,
    METRICS,
    UNBOUNDED,
    Bounds,
    Matrix,
    Metric,
    backward_transfer,
    compute,
)
from palimpsest.benchmark.runs.record import BASELINE
from palimpsest.reports.analysis.cost import consolidation_seconds, seconds_per_step, state_bits
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.statistics.ratio import removed

SEEDS = "seeds "
"""Written before the values of single seeds, since a page has no caption that explains them."""

Values = dict[int, float | None]
"""One value per seed; ``None`` where it is not defined."""

_ANY = Bounds(*UNBOUNDED[:2], fraction=False)


def elsewhere(name: str, title: str, **about: Any) -> Metric:
    """Return a number that is not computed from one run, so that a page can write it."""
    return Metric(name, lambda *parts: None, title, title=title, **about)


def per_seed(asked: Metric, cell: Cell, plain: Cell | None) -> Values:
    """Return a number of each finished run, by seed.

    Args:
        asked: What is asked for, see ``quantity_named``.
        cell: The variant's runs.
        plain: Fine-tuning's runs in the same scenario, ``None`` where there are none. What
            compares with them is computed for the seeds that both have.
    """
    if asked.name in METRICS:
        return {record.seed: record.metrics.get(asked.name) for record in cell.done}
    if asked.reference is None:
        return {record.seed: compute(asked, record) for record in cell.done}
    others = {} if plain is None else {r.seed: {BASELINE: r.accuracy_matrix} for r in plain.done}
    return {
        record.seed: compute(asked, replace(record, references=others[record.seed]))
        for record in cell.done
        if record.seed in others
    }


def interval(asked: Metric, cell: Cell, plain: Cell | None) -> Estimate:
    """Return a number's mean over seeds, or ratio of means, and its 95 % interval."""
    if asked.ratio is None:
        found = mean_estimate({"": per_seed(asked, cell, plain)}, asked.bounds)
        return settled(found) if asked.counted else found
    if asked.name in METRICS:
        return cell.interval(asked.name)
    if plain is None or cell.variant.role == BASELINE:
        return removed({})
    lost, others = per_seed(LOST, cell, None), per_seed(LOST, plain, None)
    return removed({
        seed: (own, other)
        for seed, own in lost.items()
        if own is not None and (other := others.get(seed)) is not None
    })  # fmt: skip


def settled(found: Estimate) -> Estimate:
    """Return a number that is counted, without an interval where all seeds have the same."""
    sure = found.minimum == found.maximum
    return replace(found, low=None, high=None, seeds=found.seeds[:1]) if sure else found


def _entry(i: int, j: int) -> Callable[[Matrix], float | None]:
    """An entry of the accuracy matrix."""
    return lambda matrix: matrix[i][j]


def _lost(matrix: Matrix) -> float | None:
    transfer = backward_transfer(matrix)
    return None if transfer is None else -transfer


def _price(matrix: Matrix, plain: Matrix) -> float | None:
    own, other = matrix[-1][-1], plain[-1][-1]
    return None if own is None or other is None else other - own


def _refit(probes: Mapping[str, Any]) -> float | None:
    rows = probes.get("refit", {}).get("rows", [])
    return fmean(row["after"] for row in rows) if rows else None


def _of_cost(
    of: Callable[[Mapping[str, Any]], float | None], factor: float
) -> Callable[[Mapping[str, Any]], float | None]:
    """Return a function of a run's cost in another unit."""
    return lambda cost: None if (value := of(cost)) is None else factor * value


LOST = Metric(
    "lost", _lost, "accuracy that earlier models lost", "points", bounds=CHANGE, title="lost by A"
)
REMOVED = Metric(
    "removed", lambda *parts: None, "share of fine-tuning’s loss that is avoided",
    bounds=UNBOUNDED, reference=BASELINE, title="forgetting removed", ratio=("lost", "lost"),
)  # fmt: skip

_COST: dict[str, Any] = {"bounds": _ANY, "needs": ("cost",)}
QUANTITIES = {
    asked.name: asked
    for asked in (
        Metric("first_before", _entry(0, 0), "A once trained", title="A before"),
        Metric("first_after", _entry(-1, 0), "A at the end", title="A at the end"),
        LOST,
        Metric("second", _entry(-1, -1), "B at the end", title="B"),
        REMOVED,
        Metric(
            "price", _price, "B after fine-tuning minus B", "points", bounds=CHANGE,
            reference=BASELINE, title="price in B",
        ),
        Metric("refit", _refit, "A, refitted", needs=("probes",), title="A fitted again"),
        Metric(
            "seconds_per_step", _of_cost(seconds_per_step, 1e3), "time for a step", "ms",
            digits=2, title="time for a step", **_COST,
        ),
        Metric(
            "consolidation_seconds", _of_cost(consolidation_seconds, 1e3), "time after the last",
            "ms", digits=0, title="time after the last step", **_COST,
        ),
        Metric(
            "state_bytes", _of_cost(lambda cost: cost.get("state_bytes"), 2.0**-10), "state",
            "KiB", digits=0, counted=True, title="state", **_COST,
        ),
        Metric(
            "state_bits", state_bits, "state per parameter", "bits", digits=2, counted=True,
            title="state per parameter", **_COST,
        ),
        Metric(
            "free", lambda shares: shares[-1] if shares else None, "free for later models",
            needs=("free_shares",), counted=True, title="free for later models",
        ),
    )
}  # fmt: skip
"""What a page can ask for in addition to every metric of ``benchmark/metrics``, by name:

* ``first_before``, ``first_after``: the first model's accuracy just after its training,
  ``R[0][0]``, and at the end, ``R[T-1][0]``,
* ``lost``: ``mean_{j<T-1} R[j][j] - R[T-1][j]``; with two models first_before - first_after,
* ``second``: the last model's accuracy, ``R[T-1][T-1]``,
* ``removed``: the share of fine-tuning's loss that is avoided, see ``interval``,
* ``price``: fine-tuning's ``second`` minus the variant's, seed by seed,
* ``refit``: accuracy of the earlier models after refitting their private parts (probe refit),
* ``seconds_per_step``, ``consolidation_seconds``, ``state_bytes``, ``state_bits``: see
  ``analysis/cost.py``,
* ``free``: the share of the shared parameters that could still change after the last model, of
  strategies that report it (``palimpsest.strategies.base.hooks.Capacity``).
"""


def quantity_named(name: str) -> Metric:
    """Return what a page asks for by its name; metrics are written without a plus sign.

    Raises:
        UserError: There is none of that name; the message suggests the nearest.
    """
    if name in QUANTITIES:
        return QUANTITIES[name]
    if name in METRICS:
        return replace(METRICS[name], signed=False)
    raise UserError(f"no quantity {name!r}; {nearest(name, [*METRICS, *QUANTITIES])}")
