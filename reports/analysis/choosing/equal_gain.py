"""How much a variant of a search forgets at the same own gain, compared with a control.

What learns nothing forgets nothing: a smaller learning rate alone forgets less. So forgetting is
compared at the gain that the variant's own visits have. The control is a path of variants, such as
plain training with several learning rates. Seed by seed, its forgetting is read off at the gain of
the variant: its points, joined by straight lines in their order. Where the path crosses that gain
several times, the lowest forgetting counts, so that no doubt favours the variant. The result is a
ratio of means over the seeds that all have, with Fieller's interval (``statistics/ratio.py``). A
seed in which the variant's gain lies outside the control's has no such value; leaving it out would
choose among seeds, so then there is no ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics.search import Period, Rows, visit_forgetting, visit_gain
from palimpsest.reports.analysis.searches import in_perplexity, measure_of, visits_of
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.statistics.ratio import quotient

_PERIODS = ("all", "early", "late")


@dataclass(frozen=True)
class GainComparison:
    """A variant and a control at the same own gain.

    Attributes:
        ratio: Forgetting of the variant, divided by that of the control.
        control: Forgetting of the control at that gain.
    """

    ratio: Estimate
    gain: Estimate
    own: Estimate
    control: Estimate


def at_equal_gain(cell: Cell, control: Sequence[Cell], period: Period = "all") -> GainComparison:
    """Compare the forgetting of a variant with a control's at the same own gain.

    Args:
        cell: The variant.
        control: The control's points, in their order: two or more.
        period: Which epochs count.

    Raises:
        UserError: The control has fewer than two points, they are no searches or of other data, or
            there is no such period.
    """
    if len(control) < 2:
        raise UserError(
            f"equal gain: the control has {len(control)} point; give two or more variants, such as "
            "plain training with several learning rates"
        )
    if period not in _PERIODS:
        raise UserError(f"equal gain: no period {period!r}; expected all, early or late")
    in_perplexity([cell, *control])
    gains, losses = (
        [_values(each, of, period) for each in (cell, *control)]
        for of in (visit_gain, visit_forgetting)
    )
    shared = sorted(set.intersection(*(set(values) for values in (*gains, *losses))))
    bounds = measure_of("visit_forgetting", [cell]).bounds
    gain, own = (
        mean_estimate({"": {seed: values[0][seed] for seed in shared}}, bounds)
        for values in (gains, losses)
    )
    read = {
        seed: read_off([v[seed] for v in gains[1:]], [v[seed] for v in losses[1:]], gains[0][seed])
        for seed in shared
    }
    outside = sum(value is None for value in read.values())
    if outside or not shared:
        where = "" if outside == len(shared) else f" in {outside} of {len(shared)} seeds"
        reason = f"outside the control’s range{where}" if shared else "no seed has all runs"
        nothing = Estimate(None, None, None, len(shared), reason=reason)
        return GainComparison(nothing, gain, own, nothing)
    known = {seed: value for seed, value in read.items() if value is not None}
    pairs = {seed: (losses[0][seed], value) for seed, value in known.items()}
    return GainComparison(
        quotient(pairs, "the control’s forgetting"), gain, own, mean_estimate({"": known}, bounds)
    )


def read_off(gains: Sequence[float], losses: Sequence[float], gain: float) -> float | None:
    """Return the lowest forgetting where a path has some gain; ``None`` where it nowhere has.

    Args:
        gains: Of the path's points.
        losses: Their forgetting.
        gain: Where to read.
    """
    found = []
    for (x, y), (x_next, y_next) in pairwise(zip(gains, losses, strict=True)):
        if min(x, x_next) <= gain <= max(x, x_next):
            share = np.array([0.0, 1.0]) if x == x_next else np.array([(gain - x) / (x_next - x)])
            found.append(float((y + share * (y_next - y)).min()))
    return min(found, default=None)


def _values(
    cell: Cell, of: Callable[[Rows, Period], float | None], period: Period
) -> dict[int, float]:
    values = {record.seed: of(visits_of(record), period) for record in cell.done}
    return {seed: value for seed, value in values.items() if value is not None}
