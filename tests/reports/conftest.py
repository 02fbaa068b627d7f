"""A synthetic store: plausible runs with known shape, made without training anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from figure_checks import laid_out
from known_facts import facts_of
from matplotlib.figure import Figure
from rich_store import rich_store

from palimpsest.benchmark.metrics import reference_roles
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.runs.record import BASELINE, Facts
from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.html.sections import sections
from palimpsest.reports.runs.cells import group

STEPS = [*range(51), *range(100, 1501, 50)]
REGULARIZERS = ("ewc", "wpl")
STRENGTHS = (1e2, 1e4, 1e6)


def make_record(
    matrix: Sequence[Sequence[float | None]] | None = None,
    *,
    scenario: str = "same",
    strategy: str = "finetune",
    kind: str | None = None,
    strength: float | None = None,
    seed: int = 0,
    error: str | None = None,
    curves: list[dict[str, Any]] | None = None,
    references: dict[str, Any] | None = None,
    facts: Facts | None = None,
    settings: dict[str, Any] | None = None,
    scenario_settings: dict[str, Any] | None = None,
    suite: str = "paper",
    started: str = "2026-03-01T10:00:00+00:00",
    versions: dict[str, str] | None = None,
) -> Record:
    matrix = [] if matrix is None else [list(row) for row in matrix]
    curves = curves or []
    own = {BASELINE: matrix} if (kind or strategy) == "finetune" else {}
    return Record(
        key=sha256(repr((scenario, strategy, strength, seed, started)).encode()).hexdigest(),
        suite=suite,
        scenario=scenario,
        strategy=strategy,
        strength=strength,
        seed=seed,
        status="failed" if error else "done",
        failure=_failure(error) if error else None,
        spec=Spec({
            "scenario": {
                "name": scenario,
                "family": "two_models",
                **(scenario_settings or {"dataset": "mnist", "steps": 1500, "batch_size": 64}),
            },
            "strategy": {
                "name": strategy,
                "strategy": kind or strategy,
                "settings": (settings or {"fisher": "exact"})
                | ({} if strength is None else {"strength": strength}),
            },
            "seed": seed,
            "device": "cpu",
        }),
        facts=facts or facts_of(kind or strategy, settings),
        references=own | (references or {}),
        accuracy_matrix=matrix,
        validation_matrix=matrix,
        initial_accuracy=[0.1] * len(matrix),
        curves=curves,
        started=started,
        seconds=12.5,
        peak_memory=300 * 2**20,
        versions=versions or {"palimpsest": "0.1.0", "python": "3.11.2", "torch": "2.15.0",
                              "machine": "Linux x86_64, 2 cores"},
    )  # fmt: skip


def _failure(message: str) -> Failure:
    diverged = message.startswith("DivergedError")
    return Failure(FailureKind.DIVERGED if diverged else FailureKind.ERROR, message)


def _protection(kind: str, strength: float | None) -> float:
    """How much of the forgetting is avoided, 0 to 1."""
    if strength is not None:
        return float(1 / (1 + (1e4 / strength) ** 0.6)) * (0.97 if kind == "ewc" else 1.0)
    return {"finetune": 0.0, "freeze": 1.0, "independent": 1.0, "joint": 1.0}[kind]


def _simulate(
    kind: str, strength: float | None, models: int, seed: int, steps: Sequence[int], loss: float
) -> tuple[list[list[float | None]], list[dict[str, Any]]]:
    """An accuracy matrix and curves: a sudden drop, some recovery, a new model that learns."""
    rng = np.random.default_rng([seed, models, *kind.encode(), int(strength or 0)])
    keep = _protection(kind, strength)
    top = 0.91 + 0.01 * rng.standard_normal()
    cost = 0.0 if kind in {"independent", "joint"} else 0.12 * keep**2
    loss = loss * (1 + 0.25 * rng.standard_normal()) * (1 - keep)
    accuracy = np.full(models, 0.1)
    matrix: list[list[float | None]] = []
    curves = []
    grid = np.array(steps, dtype=float)
    for i in range(models):
        lines = []
        for j in range(i):
            drop = loss * (1 + 0.6 * np.exp(-(((grid - 3) / 120) ** 2))) * (1 - np.exp(-grid))
            lines.append(np.clip(accuracy[j] - drop, 0.08, 1))
        final = top - (cost if i else 0) + 0.005 * rng.standard_normal()
        lines.append(final - (final - 0.1) * np.exp(-grid / 120))
        noise = 0.004 * rng.standard_normal((i + 1, grid.size))
        values = np.clip(np.array(lines) + noise, 0, 1)
        accuracy[: i + 1] = values[:, -1]
        curves.append({"model": i, "steps": list(steps), "accuracy": values.tolist()})
        undefined = kind == "joint" and i < models - 1
        matrix.append([None] * models if undefined else accuracy.tolist())
    return matrix, curves[-1:] if kind == "joint" else curves


def make_store(
    scenarios: dict[str, tuple[int, Sequence[int], float]], seeds: int = 5
) -> list[Record]:
    """Runs of references, EWC and WPL: scenario -> (models, steps of curves, forgetting)."""
    variants: list[tuple[str, float | None]] = [
        ("finetune", None), ("freeze", None), ("independent", None), ("joint", None),
        *((kind, strength) for kind in REGULARIZERS for strength in STRENGTHS),
    ]  # fmt: skip
    records = []
    for scenario, (models, steps, loss) in scenarios.items():
        for seed in range(seeds):
            made = {v: _simulate(*v, models, seed, steps, loss) for v in variants}
            references = {
                role: matrix
                for (kind, _), (matrix, _) in made.items()
                if (role := facts_of(kind).role) in reference_roles()
            }
            for (kind, strength), (matrix, curves) in made.items():
                records.append(
                    make_record(
                        matrix,
                        scenario=scenario,
                        strategy=kind,
                        strength=strength,
                        seed=seed,
                        curves=curves,
                        references=references,
                    )
                )
    return records


@pytest.fixture(scope="session")
def store() -> list[Record]:
    """Two scenarios of two models and one of five, 5 seeds, and one failed run."""
    records = make_store(
        {
            "same data": (2, STEPS, 0.3),
            "rotated": (2, STEPS, 0.2),
            "split": (5, range(0, 301, 25), 0.08),
        }
    )
    failed = make_record(
        scenario="rotated", strategy="wpl", strength=1e8, seed=3, error="loss became NaN at step 12"
    )
    return [*records, failed]


@pytest.fixture(scope="session")
def rich() -> list[Record]:
    """See ``rich_store``."""
    return rich_store(make_record)


@pytest.fixture(scope="session")
def figures(rich: list[Record]) -> dict[str, tuple[Plot, Figure]]:
    """Every plot of the report of the rich store by name, with its figure laid out once."""
    parts = [part for section in sections(group(rich)) for part in section.parts]
    return {part.name: (part, laid_out(part)) for part in parts if isinstance(part, Plot)}


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    """The factory of single records."""
    return make_record
