"""The cost of protection: time per step relative to fine-tuning, and memory.

Runs of several workers on a busy machine share its caches and memory, and are timed at different
moments, so ratios are rough: a difference of 10 % may be chance. ``palimpsest speed`` measures
methods in turn and compares them exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median
from typing import Any

import pandas as pd

from palimpsest.benchmark.runs.record import BASELINE
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.runs.cells import Cell, by_scenario
from palimpsest.reports.statistics.interval import mean_estimate

CAPTION = (
    "Time per optimizer step while new models train, as a ratio to fine-tuning with the same "
    "seed (geometric mean over seeds, with its 95 % interval from four seeds on), and the time "
    "after the last step of each model, in which importances are estimated. State is what a "
    "strategy keeps in addition to the model. Runs that share a busy machine are timed only "
    "roughly: a ratio of 1.1 may be chance."
)
"""The caption of a table of ``cost_frame``."""

_COLUMNS = {
    "scenario": str,
    "variant": str,
    "n": int,
    "seconds_per_step": float,
    "ratio": float,
    "ratio_low": float,
    "ratio_high": float,
    "consolidation_seconds": float,
    "state_bytes": float,
    "state_bits": float,
    "peak_memory": float,
}


def cost_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per scenario and variant, NaN where nothing was recorded.

    Only new models (i >= 1) count: all strategies train the first one alike, and mostly reuse it
    from another run.

    Columns:
        scenario, variant: The variant's label.
        n: Seeds with times.
        seconds_per_step: Seconds of training divided by optimizer steps, median over seeds.
        ratio, ratio_low, ratio_high: The variant's seconds per step divided by fine-tuning's with
            the same seed: ``exp`` of the mean log-ratio and of its 95 % interval.
        consolidation_seconds: Time after the last step of a new model, such as for estimating
            importances; mean over models, median over seeds.
        state_bytes: Of the tensors that the strategy holds in the end, median over seeds.
        state_bits: The same in bits per shared parameter and model, see ``state_bits``.
        peak_memory: Bytes, median over seeds: of the whole process on a CPU, of allocated memory
            on another device.
    """
    rows = []
    for members in by_scenario(cells).values():
        plain = [cell for cell in members if cell.variant.role == BASELINE]
        reference = {
            record.seed: seconds_per_step(record.cost) for c in plain[:1] for record in c.done
        }
        rows += [_row(cell, reference) for cell in members if cell.done]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def seconds_per_step(cost: Mapping[str, Any]) -> float | None:
    """Return the seconds of one optimizer step of the new models, ``None`` where unknown."""
    steps = _of_new_models(cost, "steps")
    seconds = _of_new_models(cost, "training_seconds")
    return sum(seconds) / sum(steps) if sum(steps) else None


def _row(cell: Cell, reference: Mapping[int, float | None]) -> dict[str, Any]:
    ratios = mean_estimate({"": [_log_ratio(record, reference) for record in cell.done]})
    ratio, low, high = (None if end is None else math.exp(end) for end in ratios.ends)
    known = [record for record in cell.done if record.cost]
    return {
        "scenario": cell.scenario,
        "variant": cell.variant.label,
        "n": sum(seconds_per_step(record.cost) is not None for record in known),
        "seconds_per_step": _median(known, lambda record: seconds_per_step(record.cost)),
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "consolidation_seconds": _median(known, lambda record: consolidation_seconds(record.cost)),
        "state_bytes": _median(known, lambda record: record.cost.get("state_bytes")),
        "state_bits": _median(known, lambda record: state_bits(record.cost)),
        "peak_memory": _median(known, lambda record: record.peak_memory),
    }


def _log_ratio(record: Record, reference: Mapping[int, float | None]) -> float | None:
    own, plain = seconds_per_step(record.cost), reference.get(record.seed)
    return math.log(own / plain) if own and plain else None


def consolidation_seconds(cost: Mapping[str, Any]) -> float | None:
    """Return the mean seconds after the last step of a new model, ``None`` where unknown."""
    seconds = _of_new_models(cost, "consolidation_seconds")
    return mean(seconds) if seconds else None


def state_bits(cost: Mapping[str, Any]) -> float | None:
    """Return the bits of a strategy's state, per shared parameter and model.

    ``8 bytes / (shared parameters * models)``, ``None`` where one of them is not known or nothing
    is shared. A mask for each model is 1; an importance and an anchor in single precision are 32
    with two models, and 64 with one of them for each.
    """
    state, shared = cost.get("state_bytes"), cost.get("shared_parameters")
    models = len(cost.get("training_seconds", []))
    return 8 * state / (shared * models) if state is not None and shared and models else None


def _of_new_models(cost: Mapping[str, Any], name: str) -> list[float]:
    return [value for value in cost.get(name, [])[1:] if value is not None]


def _median(records: Sequence[Record], value: Callable[[Record], float | None]) -> float | None:
    known = [found for found in map(value, records) if found is not None]
    return median(known) if known else None
