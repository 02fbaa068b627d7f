"""All properties, one verdict each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.properties import (
    capacity,
    forgetting,
    hooks,
    importance,
    interruption,
    merging,
    optimizers,
    optimum,
    parameters,
    posterior,
    state,
    strength,
    surroundings,
    training,
)
from palimpsest.benchmark.kit.property import (
    BrokenError,
    NotApplicableError,
    Outcome,
    Property,
    PropertyResult,
    WeakError,
    properties_in,
)
from palimpsest.benchmark.runs.failure import raised_at
from palimpsest.strategies.base.architectures import NoArchitecturesError

_FILES = (
    strength, optimizers, optimum, parameters, importance, training, state, interruption,
    surroundings, hooks, forgetting, capacity, posterior, merging,
)  # fmt: skip

PROPERTIES: tuple[Property, ...] = tuple(p for file in _FILES for p in properties_in(file))


def check(candidate: Candidate) -> Iterator[PropertyResult]:
    """Check every property. An exception of the strategy fails that property."""
    for each in PROPERTIES:
        yield verdict(each, candidate)


def verdict(wanted: Property, candidate: Candidate) -> PropertyResult:
    """Check one property."""
    outcome: Outcome = "fail"
    cause = ""
    try:
        with warnings.catch_warnings(record=True):  # Avalanche's, dozens per training
            detail, outcome = wanted.check(candidate), "pass"
    except (NotApplicableError, NoArchitecturesError) as reason:
        detail, outcome = str(reason), "not applicable"
    except WeakError as reason:
        detail, outcome = str(reason), "weak"
    except BrokenError as reason:
        detail, cause = str(reason), wanted.cause
    except Exception as error:
        place = raised_at(error, candidate.file)
        detail = f"it raised {type(error).__name__}: {error} ({place})"
    return PropertyResult(wanted.name, outcome, detail, wanted.meaning, cause)
