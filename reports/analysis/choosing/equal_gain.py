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

import numpy as np

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics.search import Period, Rows, visit_forgetting, visit_gain
from palimpsest.reports.analysis.choosing.equal_stability import highest_at
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
    n = len(shared)
    gained, lost = (  # (seeds, 1 + points of the control)
        np.array([[values[seed] for values in each] for seed in shared]).reshape(n, len(each))
        for each in (gains, losses)
    )
    bounds = measure_of("visit_forgetting", [cell]).bounds
    gain, own = (
        mean_estimate({"": dict(zip(shared, values[:, 0].tolist(), strict=True))}, bounds)
        for values in (gained, lost)
    )
    read = -highest_at(gained[:, 1:], -lost[:, 1:], gained[:, 0])
    outside = int(np.isnan(read).sum())
    if outside or not shared:
        where = "" if outside == n else f" in {outside} of {n} seeds"
        reason = f"outside the control’s range{where}" if shared else "no seed has all runs"
        nothing = Estimate(n=n, reason=reason)
        return GainComparison(nothing, gain, own, nothing)
    known = dict(zip(shared, read.tolist(), strict=True))
    ratio = quotient(
        {seed: (losses[0][seed], value) for seed, value in known.items()},
        "the control’s forgetting",
    )
    return GainComparison(ratio, gain, own, mean_estimate({"": known}, bounds))


def _values(
    cell: Cell, of: Callable[[Rows, Period], float | None], period: Period
) -> dict[int, float]:
    values = {record.seed: of(visits_of(record), period) for record in cell.done}
    return {seed: value for seed, value in values.items() if value is not None}
