"""All properties, one verdict each."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from benchmark.kit.candidate import Candidate
from benchmark.kit.properties import (
    hooks,
    importance,
    optimizers,
    optimum,
    parameters,
    state,
    strength,
    surroundings,
    training,
)
from benchmark.kit.property import (
    BrokenError,
    NotApplicableError,
    Outcome,
    Property,
    Verdict,
)

PROPERTIES: tuple[Property, ...] = (
    *strength.PROPERTIES,
    *optimizers.PROPERTIES,
    *optimum.PROPERTIES,
    *parameters.PROPERTIES,
    *importance.PROPERTIES,
    *training.PROPERTIES,
    *state.PROPERTIES,
    *surroundings.PROPERTIES,
    *hooks.PROPERTIES,
)


def check(candidate: Candidate) -> Iterator[Verdict]:
    """Check every property; what a strategy raises is a failure of that property."""
    for each in PROPERTIES:
        yield verdict(each, candidate)


def verdict(wanted: Property, candidate: Candidate) -> Verdict:
    """Check one property.

    Args:
        wanted: The property.
        candidate: The strategy.
    """
    outcome: Outcome = "fail"
    try:
        with warnings.catch_warnings(record=True):  # Avalanche's, dozens per training
            detail, outcome = wanted.check(candidate), "pass"
    except NotApplicableError as reason:
        detail, outcome = str(reason), "not applicable"
    except BrokenError as reason:
        detail = str(reason)
    except Exception as error:
        detail = f"it raised {type(error).__name__}: {error} ({_raised_at(error)})"
    cause = wanted.cause if outcome == "fail" else ""
    return Verdict(wanted.name, outcome, detail, wanted.meaning, cause)


def _raised_at(error: Exception) -> str:
    """Return the file, relative to the import path, and the line where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file = Path(frame.filename)
    folders = [folder for folder in sys.path if folder and file.is_relative_to(folder)]
    names = [frame.filename, *(str(file.relative_to(folder)) for folder in folders)]
    return f"{min(names, key=len)}, line {frame.lineno}"
