"""Fabricated searches with every number known, and their ground truth."""

from dataclasses import replace

import numpy as np

NAMES = [f"{i}-{j}" for i in range(4) for j in range(4)]
EPOCHS, VISITS = 6, 7
CONTROLS = ("fast", "slow", "slower")
"""Scenarios with smaller and smaller learning rates."""

SUPERNET = {"name": "convolutional_cell", "nodes": 3}
_VARIANTS = [
    ("finetune", "finetune", None, 1.0, 0.9),
    *(("wpl", "wpl", s, g, f) for s, g, f in ((0.1, 0.9, 0.5), (1.0, 0.7, 0.2), (10.0, 0.5, 0.0))),
    *(("l2", "l2", s, g, f) for s, g, f in ((0.1, 0.8, 0.6), (1.0, 0.4, 0.1))),
]
"""Name, kind, strength, gain and forgetting as multiples of 4 points, or of 2 of perplexity."""


def search(record, scenario, strategy, kind, strength, gain, loss, seed, *, perplexity=False):
    """One run with a controller."""
    rng = np.random.default_rng([seed, *f"{scenario}{strategy}{strength}".encode(), perplexity])
    level, unit = (30.0, 2.0) if perplexity else (0.3, 0.04)
    rows = []
    for epoch in range(EPOCHS):
        for visit in range(VISITS):
            after = level + unit * rng.standard_normal()
            rows.append({
                "epoch": epoch,
                "visit": visit,
                "architecture": NAMES[(epoch + 3 * visit) % len(NAMES)],
                "before": after + unit * (gain + 0.1 * rng.standard_normal()),
                "after": after,
                "end": after + unit * (loss + 0.1 * rng.standard_normal() + 0.1 * epoch),
            })  # fmt: skip
    ranking = [
        {
            "architecture": name,
            "validation": level + unit * (place / 4 + (1 + loss) * rng.standard_normal()),
            "test": level + unit * place / 4,
            "probability": 1 / len(NAMES),
        }
        for place, name in enumerate(NAMES)
    ]
    rewards = (0.5 + 0.001 * np.arange(130) + 0.05 * rng.standard_normal(130)).tolist()
    probe = {"rows": rows, "perplexity": perplexity, "ranking": ranking, "rewards": rewards}
    settings = {"family": "architecture_search", "data": "digits", "supernet": SUPERNET,
                "shared": True, "rate": scenario}  # fmt: skip
    made = record(
        scenario=scenario, strategy=strategy, kind=kind, strength=strength, seed=seed,
        scenario_settings=settings, suite="nas",
    )  # fmt: skip
    ends = [0.6 + 0.01 * rng.standard_normal() for _ in range(3)]
    moment = {"visit": 41, "steps": 90, "accuracy": ends, "validation_accuracy": ends}
    return replace(made, probes={"search": probe}, moments=[moment])


def alone(record, seed, *, perplexity=False):
    """One run of the ground truth."""
    made = search(record, "alone", "finetune", "finetune", None, 1, 0, seed, perplexity=perplexity)
    (level, unit), rng = ((30.0, 2.0) if perplexity else (0.3, 0.04)), np.random.default_rng(seed)
    ranking = [
        {"architecture": name, "validation": 0.5,
         "test": level + unit * (place / 4 + 0.3 * rng.standard_normal())}
        for place, name in enumerate(NAMES)
    ]  # fmt: skip
    scenario = dict(made.spec.data["scenario"]) | {"shared": False}
    spec = type(made.spec)({**made.spec.data, "scenario": scenario})
    probes = {"search": {"rows": [], "perplexity": perplexity, "ranking": ranking}}
    return replace(made, spec=spec, probes=probes)


def searches(record, seeds=5, *, perplexity=False):
    """All variants in ``fast``, plain training in the other controls, and the truth."""
    found = []
    for seed in range(seeds):
        for name, kind, strength, gain, loss in _VARIANTS:
            found.append(search(record, "fast", name, kind, strength, gain, loss, seed,
                                perplexity=perplexity))  # fmt: skip
        for scenario, share in (("slow", 0.6), ("slower", 0.2)):
            found.append(search(record, scenario, "finetune", "finetune", None, share, 0.8 * share,
                                seed, perplexity=perplexity))  # fmt: skip
    return found + [alone(record, seed, perplexity=perplexity) for seed in range(3)]
