"""The quantities that a page can ask for, by name.

``R[i][j]`` is the test accuracy of model j after model i was trained, T the number of models
(see ``benchmark/metrics``). Models before the last are *earlier* ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.metrics import METRICS, Metric
from palimpsest.benchmark.runs.record import BASELINE
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis.cost import consolidation_seconds, seconds_per_step, state_bits
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.statistics.limits import (
    ACCURACY,
    CHANGE,
    UNLIMITED,
    Limits,
    limits_of,
    of_difference,
)
from palimpsest.reports.statistics.ratio import REDUCTION, Removed, removed
from palimpsest.reports.wording.numbers import measured, percent

SEEDS = "seeds "
"""Written before the values of single seeds, since a page has no caption that explains them."""

Values = dict[int, float | None]
"""One value per seed; ``None`` where it is not defined."""


@dataclass(frozen=True)
class Quantity:
    """Something that is measured of every run.

    Attributes:
        name: How a page writes it.
        title: As a heading.
        of: Computes its value from a run and, where it compares the two (``paired``), the run of
            fine-tuning with the same scenario and seed.
        unit: The printed unit, for headings and axes.
        scale: The factor that converts a value to that unit.
        write: Writes a value in that unit, without the unit.
        suffix: The unit where it follows a printed number; empty for per cent.
        paired: Whether it needs fine-tuning's runs.
        limits: Its range, as a fraction; ``None`` if it is not a fraction.
        counted: Whether it is counted, not measured, such as bytes: equal for every seed by
            construction, so it has no interval.
    """

    name: str
    title: str
    of: Callable[[Record, Record | None], float | None]
    unit: str = "%"
    scale: float = 100.0
    write: Callable[[float], str] = percent
    suffix: str = ""
    paired: bool = False
    limits: Limits | None = ACCURACY
    counted: bool = False

    @property
    def heading(self) -> str:
        """Title and unit: ``A at the end, %``."""
        return f"{self.title}, {self.unit}"

    def difference(self) -> Quantity:
        """Return the quantity of the difference of two values, written with its sign."""
        limits = self.limits and of_difference(self.limits)
        if self.write is not percent:
            return replace(self, limits=limits)
        return Quantity(self.name, self.title, self.of, "points", write=_signed, limits=limits)


def per_seed(quantity: Quantity, cell: Cell, plain: Cell | None) -> Values:
    """Return a quantity's value for each finished run, by seed.

    Args:
        quantity: What is asked for.
        cell: The variant's runs.
        plain: Fine-tuning's runs in the same scenario, ``None`` where there are none. A ``paired``
            quantity is computed for the seeds that both have.
    """
    others = {} if plain is None else {record.seed: record for record in plain.done}
    return {
        record.seed: quantity.of(record, others.get(record.seed))
        for record in cell.done
        if not quantity.paired or record.seed in others
    }


def interval(quantity: Quantity, cell: Cell, plain: Cell | None) -> Estimate:
    """Return a quantity's mean over seeds and its 95 % interval (see also ``share_of``).

    Args:
        quantity: What is asked for.
        cell: The variant's runs.
        plain: Fine-tuning's runs in the same scenario.
    """
    share = share_of(quantity, cell, plain)
    if share is not None:
        return share.share
    found = mean_estimate({"": per_seed(quantity, cell, plain)}, quantity.limits)
    return settled(found) if quantity.counted else found


def settled(found: Estimate) -> Estimate:
    """Return a number that is counted, without an interval where all seeds have the same."""
    sure = found.minimum == found.maximum
    return replace(found, low=None, high=None, seeds=found.seeds[:1]) if sure else found


def share_of(quantity: Quantity, cell: Cell, plain: Cell | None) -> Removed | None:
    """Return a quantity that is a ratio of means over seeds, ``None`` for any other.

    There are two: ``forgetting_reduction``, of forgetting, and ``removed``, of ``lost``. See
    ``statistics/ratio.py`` for the interval, and for when there is nothing to remove.

    Args:
        quantity: What is asked for.
        cell: The variant's runs.
        plain: Fine-tuning's runs in the same scenario, for ``removed``.
    """
    if quantity.name == REDUCTION:
        return cell.removed
    if quantity is not REMOVED:
        return None
    pairs = {}
    if plain is not None and cell.variant.role != BASELINE:
        lost, others = per_seed(LOST, cell, None), per_seed(LOST, plain, None)
        for seed, own in lost.items():
            other = others.get(seed)
            if own is not None and other is not None:
                pairs[seed] = own, other
    return removed(pairs)


def _entry(i: int, j: int, record: Record, _: Record | None) -> float | None:
    """An entry of the accuracy matrix; ``None`` where there is no matrix."""
    return record.accuracy_matrix[i][j] if record.accuracy_matrix else None


def _lost(record: Record, _: Record | None) -> float | None:
    transfer = record.metrics.get("backward_transfer")
    return None if transfer is None else -transfer


def _price(record: Record, plain: Record | None) -> float | None:
    own = _entry(-1, -1, record, None)
    other = None if plain is None else _entry(-1, -1, plain, None)
    return None if own is None or other is None else other - own


def _refit(record: Record, _: Record | None) -> float | None:
    rows = record.probes.get("refit", {}).get("rows", [])
    return fmean(row["after"] for row in rows) if rows else None


def _metric(name: str, record: Record, _: Record | None) -> float | None:
    return record.metrics.get(name)


def _state_bytes(record: Record, _: Record | None) -> float | None:
    return record.cost.get("state_bytes")


def _free(record: Record, _: Record | None) -> float | None:
    return record.free_shares[-1] if record.free_shares else None


def _signed(value: float) -> str:
    return percent(value, signed=True)


def _decimals(scale: float, digits: int, value: float) -> str:
    return f"{scale * value:,.{digits}f}"


LOST = Quantity("lost", "lost by A", _lost, "points", limits=CHANGE)
REMOVED = Quantity("removed", "forgetting removed", lambda _, __: None, limits=UNLIMITED)
RATIOS = {REMOVED.name: LOST.name, REDUCTION: "forgetting"}
"""Quantities that are ratios of means over seeds, with the quantity in both means."""

QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("first_before", "A before", partial(_entry, 0, 0)),
        Quantity("first_after", "A at the end", partial(_entry, -1, 0)),
        LOST,
        Quantity("second", "B", partial(_entry, -1, -1)),
        REMOVED,
        Quantity("price", "price in B", _price, "points", paired=True, limits=CHANGE),
        Quantity("refit", "A fitted again", _refit),
        Quantity(
            "seconds_per_step", "time for a step", lambda record, _: seconds_per_step(record),
            "ms", 1e3, partial(_decimals, 1e3, 2), "ms", limits=None,
        ),
        Quantity(
            "consolidation_seconds", "time after the last step",
            lambda record, _: consolidation_seconds(record), "ms", 1e3, partial(_decimals, 1e3, 0),
            "ms", limits=None,
        ),
        Quantity(
            "state_bytes", "state", _state_bytes, "KiB", 2.0**-10, partial(_decimals, 2.0**-10, 0),
            "KiB", limits=None, counted=True,
        ),
        Quantity(
            "state_bits", "state per parameter", lambda record, _: state_bits(record), "bits", 1.0,
            partial(_decimals, 1.0, 2), "bits", limits=None, counted=True,
        ),
        Quantity("free", "free for later models", _free, counted=True),
    )
}  # fmt: skip
"""What a page can ask for beside every metric of ``benchmark/metrics``, by name:

* ``first_before``, ``first_after``: the first model's accuracy just after its training,
  ``R[0][0]``, and at the end, ``R[T-1][0]``,
* ``lost``: ``mean_{j<T-1} R[j][j] - R[T-1][j]``; with two models first_before - first_after,
* ``second``: the last model's accuracy, ``R[T-1][T-1]``,
* ``removed``: the share of fine-tuning's loss that is avoided, see ``share_of``,
* ``price``: fine-tuning's ``second`` minus the variant's, seed by seed,
* ``refit``: accuracy of the earlier models after refitting their private parts (probe refit),
* ``seconds_per_step``, ``consolidation_seconds``, ``state_bytes``, ``state_bits``: see
  ``analysis/cost.py``,
* ``free``: the share of the shared parameters that could still change after the last model, of
  strategies that tell it (``palimpsest.strategies.base.hooks.Capacity``).
"""


def quantity_named(name: str) -> Quantity:
    """Return a quantity by its name.

    Raises:
        UserError: There is none of that name; the message suggests the nearest.
    """
    if name in QUANTITIES:
        return QUANTITIES[name]
    if name in METRICS:
        return _of_metric(METRICS[name])
    raise UserError(f"no quantity {name!r}; {nearest(name, [*METRICS, *QUANTITIES])}")


def _of_metric(metric: Metric) -> Quantity:
    name, fraction = metric.name, metric.is_percentage
    return Quantity(
        name,
        metric.title,
        partial(_metric, name),
        metric.unit,
        metric.scale,
        percent if fraction else measured(metric),
        suffix="" if fraction or metric.unit == "perplexity" else metric.unit,
        limits=limits_of(name),
    )
