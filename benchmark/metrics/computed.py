"""The metrics of a run, computed when they are asked for."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics.accuracy import DENOMINATOR, FINETUNE_FORGETTING, Matrix
from palimpsest.benchmark.metrics.metric import METRICS, Metric
from palimpsest.strategies.base.facts import Role

_REQUIRED = ("accuracy_matrix", "final_accuracy", "moments", "visits", "visits_perplexity")
"""Parts that a run has or lacks, by the order in which its models are trained."""

_ROUNDING = 1e-9
"""How far outside its bounds rounding may bring a value."""


class MeasuredRun(Protocol):
    """A run as metrics read it, besides their ``needs``: a ``benchmark.runs.record.Record``."""

    @property
    def key(self) -> str:
        """The run's hash."""

    @property
    def status(self) -> str:
        """``done`` or ``failed``."""

    @property
    def references(self) -> Mapping[Role, Matrix]:
        """The accuracy matrices of the runs that it is compared with, by role."""


class Computed(Mapping[str, float | None]):
    """The metrics of a run by name, each computed once, when it is first asked for.

    So unused metrics cost nothing when thousands of runs are read, and a metric that is added today
    exists for yesterday's runs.

    Args:
        run: The run; a failed one has no values.
    """

    def __init__(self, run: MeasuredRun) -> None:
        self._run = run
        self._values: dict[str, float | None] = {}

    def __getitem__(self, name: str) -> float | None:
        if name not in self._values:
            self._values[name] = compute(metric_named(name), self._run)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        yield from METRICS
        yield FINETUNE_FORGETTING

    def __len__(self) -> int:
        return len(METRICS) + 1

    def __repr__(self) -> str:
        return repr(dict(self))


def metric_named(name: str) -> Metric:
    """Return a metric, or what one is divided by.

    Raises:
        KeyError: There is no metric of that name.
    """
    return DENOMINATOR if name == FINETUNE_FORGETTING else METRICS[name]


def reference_roles() -> set[Role]:
    """Return the roles of the strategies that some metric compares with."""
    roles = {metric.reference for metric in (*METRICS.values(), DENOMINATOR)}
    return {role for role in roles if role is not None}


def compute(metric: Metric, run: MeasuredRun) -> float | None:
    """Return a metric of a run; ``None`` if it is not defined or its reference run is missing.

    Raises:
        UserError: Its function raises, or returns something that is not a number or is outside its
            bounds.
    """
    if run.status != "done" or not applies(metric, run):
        return None
    arguments = [getattr(run, need) for need in metric.needs]
    if metric.reference is not None:
        if not run.references.get(metric.reference):
            return None
        arguments.append(run.references[metric.reference])
    try:
        found = metric.function(*arguments)
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise _wrong(metric, run, f"{_raised_at(error)}{said}") from error
    return None if found is None else _checked(metric, run, found)


def applies(metric: Metric, run: MeasuredRun) -> bool:
    """Whether a run has the parts that a metric is computed from, its reference not counted.

    Models that are trained in turn have other parts than models that are trained by turns.
    """
    return all(getattr(run, need) for need in metric.needs if need in _REQUIRED)


def columns(
    names: Iterable[str], runs: Iterable[MeasuredRun], *, otherwise: str | None = None
) -> list[str]:
    """Return the metrics that a table of runs needs columns for.

    Args:
        names: The metrics that it should show.
        runs: Its runs; where none has finished, all ``names`` are returned.
        otherwise: Shown, too, where it applies to a run to which none of ``names`` does.

    Returns:
        Those of ``names`` that apply to some run.
    """
    known = [metric_named(name) for name in names]
    done = [run for run in runs if run.status == "done"]
    if not done:
        return [metric.name for metric in known]
    found = [metric.name for metric in known if any(applies(metric, run) for run in done)]
    if otherwise is not None:
        others = [run for run in done if not any(applies(metric, run) for metric in known)]
        found += [otherwise] * any(applies(metric_named(otherwise), run) for run in others)
    return found


def _checked(metric: Metric, run: MeasuredRun, found: Any) -> float:
    if type(found) is not float and (not isinstance(found, Real) or isinstance(found, bool)):
        what = f"its function returned {found!r}, expected a number, or None where it is undefined"
        raise _wrong(metric, run, what)
    value = float(found)
    if not math.isfinite(value):
        raise _wrong(metric, run, f"its function returned {value}; return None in its place")
    low, high, _ = metric.bounds
    if not low - _ROUNDING <= value <= high + _ROUNDING:
        raise _wrong(
            metric, run, f"its function returned {value:g}, outside its bounds {low:g} to {high:g}"
        )
    return value


def _wrong(metric: Metric, run: MeasuredRun, what: str) -> UserError:
    return UserError(
        f"metric {metric.name!r} cannot be computed for run {run.key}: {what} ('palimpsest show "
        f"run {run.key}' shows what it is computed from)"
    )


def _raised_at(error: BaseException) -> str:
    """Return where the function raised: ``my_metrics.py, line 7: ``."""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is the call here
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: " if frames else ""
