"""A synthetic store with all that a figure may stumble over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from known_facts import facts_of

from palimpsest.benchmark.metrics import reference_roles
from palimpsest.benchmark.store.store import Record

QUANTILES = ("q0", "q0.01", "q0.05", "q0.25", "q0.5", "q0.75", "q0.95", "q0.99", "q1")
LONG = "a strategy of quite some length whose name says all that it does"
PULLED = f"{LONG} with a gradient"
PLAIN = [(name, name, None) for name in ("finetune", "freeze", "independent", "joint")]
EQUAL = [(name, name, strength) for name in ("ewc", "wpl") for strength in (1.0, 1e3, 1e6)]
MANY = [("wpl", "wpl", s) for s in (0.0, 0.5, 1.0, 10.0, 1e2, 1e3, 2.5e3, 1e4, 1e8)]
LOST = [(PULLED, "wpl", strength) for strength in (1.0, 10.0, 1e2, 1e3)]


def simulated(rng, steps, kind, strength, noise):
    """Matrix and curves of a run whose models train for so many steps, every 20th measured."""
    keep = {"finetune": 0.0, "freeze": 1.0}.get(kind, 1.0 if strength is None else 0.0)
    keep = keep if strength is None else strength / (strength + 100)
    models, now, matrix, curves = len(steps), np.zeros(0), [], []
    for trained, length in enumerate(steps):
        grid = np.array(sorted({*range(11), *range(0, length, 20), length} & {*range(length + 1)}))
        way = grid / length
        lost = [start - way * (1 - keep) * 0.5 * start for start in now]
        lines = np.array([*lost, 0.1 + (0.85 - 0.2 * keep * (trained > 0)) * way])
        # What came before stays: the noise begins with the training.
        lines = np.clip(lines + noise * rng.standard_normal(lines.shape) * (way > 0), 0, 1)
        now = lines[:, -1]
        curves.append({"model": trained, "steps": grid.tolist(), "accuracy": lines.tolist()})
        undefined = kind == "joint" and trained < models - 1
        row = [*now.tolist(), *[0.1] * (models - trained - 1)]
        matrix.append([None] * models if undefined else row)
    return matrix, curves[-1:] if kind == "joint" else curves


def probes(rng, models, variant):
    """What probes saw: nothing, much, or the same everywhere."""
    kind, strength = variant[1:]
    blocks = [f"trunk_{place}" for place in range(6)]
    moved = 0.0 if kind == "freeze" else 3 * rng.random()
    quantiles = np.sort(rng.lognormal(-9, 3, len(QUANTILES))) * (rng.random() > 0.3)
    quantiles[:4] *= np.array([0, 0, 1e-12, 1])
    importance = {"mean": 0.1, "zero": 1.0 if kind == "freeze" else 0.2}
    importance |= dict(zip(QUANTILES, quantiles.tolist(), strict=True))
    own = {
        "distance": [
            {"model": 1, "block": block, "moved": moved, "relative": moved, "from_anchor": None,
             "weighted": None} for block in (*blocks, None)
        ],
        "importance": [
            {"model": model, "block": block, **importance} for model in (0, 1) for block in blocks
        ],
        "overlap": [
            {"model": 1, "earlier": 0, "block": block, "jaccard": 0.5 * rng.random()}
            for block in (*blocks, None)
        ],
        "similarity": [
            {"trained": models - 1, "model": 0, "block": block, "cka": 1 - 0.4 * rng.random()}
            for block in blocks
        ],
    }  # fmt: skip
    refit = [{"model": 0, "before": 0.97, "after": float(np.clip(rng.normal(0.97, 0.02), 0, 1))}]
    unmerged = [{"model": m, "unmerged": 0.97, "merged": 0.95 - 0.04 * m} for m in (0, 1)]
    absent = {"absent": "at once"} if kind == "joint" else None
    without = {"absent": "none"} if strength is None else None
    return {
        "distance": absent or {"rows": own["distance"]},
        "importance": without or {"rows": own["importance"]},
        "overlap": absent or {"rows": own["overlap"]},
        "unmerged": absent or {"rows": unmerged},
        "similarity": absent or {"rows": own["similarity"]},
        "refit": {"rows": refit},
    }


def rich_store(record: Callable[..., Record]) -> list[Record]:
    """Runs of scenarios of one to twenty models, with all that a figure may stumble over.

    Two scenarios have seeds enough for intervals, the others show the seeds themselves.

    Args:
        record: Makes one.
    """
    made = []

    def add(scenario, steps, variants, seeds, noise, *, failed=(), looked=False):
        for seed in range(seeds):
            references = {}
            for name, kind, strength in variants:
                # Strategies in EQUAL are the same computation.
                rng = np.random.default_rng([seed, len(steps), int(10 * (strength or 0))])
                error = failed and (name, strength, seed) in failed
                matrix, curves = simulated(rng, steps, kind, strength, noise)
                if (role := facts_of(name).role) in reference_roles():
                    references[role] = matrix
                run = record(
                    None if error else matrix,
                    scenario=scenario,
                    strategy=name,
                    kind=kind,
                    strength=strength,
                    seed=seed,
                    curves=None if error else curves,
                    references=references,
                    error="DivergedError: not finite at step 3" if error else None,
                    settings={"application": "gradient" if name == PULLED else "proximal"},
                )
                seen = probes(rng, len(steps), (name, kind, strength)) if looked else {}
                made.append(replace(run, probes=seen))

    add("two", (310, 307), [*PLAIN, *EQUAL, ("si", "si", 1e3)], 4, 0.03, looked=True)
    add("five", (100, 60, 130, 7, 75), [*PLAIN, *EQUAL, *MANY], 4, 0.2)
    lost = {(PULLED, s, seed) for s in (1e2, 1e3) for seed in range(3)} | {(PULLED, 10.0, 1)}
    add("three", (80, 90, 100), [*PLAIN, *EQUAL, *LOST], 3, 0.05, failed=lost)
    names = [(f"{LONG} {place}", "l2", None) for place in range(7)]
    add("twenty", (30,) * 20, [*PLAIN, *names, (f"{LONG} with", "l2", 1.0),
                               (f"{LONG} with", "l2", 10.0)], 2, 0.05)  # fmt: skip
    add("one seed", (40, 41), [*PLAIN, *EQUAL], 1, 0.05)
    add("steady", (50, 50), [("finetune", "finetune", None), *EQUAL], 3, 0.0)
    add("one model", (35,), [("finetune", "finetune", None), *EQUAL[:2]], 2, 0.1)
    return made
