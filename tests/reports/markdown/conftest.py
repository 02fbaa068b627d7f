"""Fabricated runs with every number known, and a page made of them."""

from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest

from palimpsest.reports.analysis.choosing.variants import Catalog
from palimpsest.reports.figures.drawing.style import Styles
from palimpsest.reports.markdown.album import Album
from palimpsest.reports.markdown.illustrated import IllustratedStudy
from palimpsest.reports.markdown.template import write_page
from palimpsest.reports.runs.cells import group

STEPS = [*range(51), *range(100, 501, 50)]
VARIANTS = [
    ("finetune", "finetune", None, 0.0),
    ("freeze", "freeze", None, 1.0),
    *(("wpl", "wpl", strength, keep) for strength, keep in ((1e2, 0.4), (1e4, 0.8), (1e6, 0.99))),
    *(("wpl_gradient", "wpl", strength, keep) for strength, keep in ((1e2, 0.3), (1e4, 0.7))),
    *(("l2", "l2", strength, keep) for strength, keep in ((1e2, 0.2), (1e4, 0.9))),
]


def fabricate(record, scenario, loss, *, models=2, seeds=4, suite="paper"):
    """Runs of ``VARIANTS`` with some noise, curves, costs and a probe."""
    records = []
    for seed in range(seeds):
        for strategy, kind, strength, keep in VARIANTS:
            rng = np.random.default_rng([seed, *strategy.encode(), int(strength or 0), models])
            top = 0.9 + 0.02 * rng.random()
            matrix, curves = [], []
            for t in range(models):
                new = top - 0.1 * keep * (t > 0)
                fade = [top - (loss * (1 - keep) + 0.01 * rng.random()) * (t - j) for j in range(t)]
                matrix.append([*fade, new, *[0.1] * (models - t - 1)])
                lines = [[top, *np.linspace(top - loss, end, len(STEPS) - 1)] for end in fade]
                lines.append(list(np.linspace(0.1, new, len(STEPS))))
                lines = [[float(value) for value in line] for line in lines]
                curves.append({"model": t, "steps": STEPS, "accuracy": lines})
            made = record(
                matrix,
                scenario=scenario,
                strategy=strategy,
                kind=kind,
                strength=strength,
                seed=seed,
                suite=suite,
                curves=curves,
                settings={"application": "gradient" if "gradient" in strategy else "proximal"},
                started=f"2026-03-01T10:{seed:02}:00+00:00",
            )
            cost = {
                "training_seconds": [None, *[2.0 + seed] * (models - 1)],
                "steps": [None, *[1000] * (models - 1)],
                "consolidation_seconds": [None, *[0.25] * (models - 1)],
                "state_bytes": 2048,
                "shared_parameters": 512,
                "capacity": {"blocks.x.weight": {"parameters": 512, "free": [0.5] * models}},
            }
            probes = {"refit": {"rows": [{"model": 0, "before": 0.5, "after": 0.8 + 0.01 * seed}]}}
            key = f"{scenario}{strategy}{strength}{seed}"
            records.append(replace(made, cost=cost, probes=probes, key=key))
    return records


@pytest.fixture
def fabricated(record):
    """The function that makes runs."""
    return lambda *arguments, **settings: fabricate(record, *arguments, **settings)


@pytest.fixture
def runs(fabricated, record):
    """Two scenarios of two models, one of four models, and a strength that diverged."""
    diverged = [
        record(
            scenario="k3", strategy="wpl_gradient", kind="wpl", strength=1e6, seed=seed,
            error="DivergedError: not finite at step 3", settings={"application": "gradient"},
            started=f"2026-03-01T10:{seed:02}:30+00:00",
        )
        for seed in range(4)
    ]  # fmt: skip
    return [
        *fabricated("k1", 0.1),
        *fabricated("k3", 0.3),
        *diverged,
        *fabricated("many", 0.05, models=4, suite="sequence"),
    ]


@pytest.fixture
def study():
    """The function that makes a study of one suite's runs."""

    def make(records, suite="paper"):
        own = [record for record in records if record.suite == suite]
        styles = Styles({(record.facts, record.strategy) for record in records})
        return IllustratedStudy(
            own, Catalog.of(suite, group(own)), styles, Album(PurePosixPath("figures"))
        )

    return make


@pytest.fixture
def render(tmp_path):
    """The function that fills in a template, given as text, and returns page and album."""

    def make(text, records):
        (tmp_path / "page.md.j2").write_text(text)
        return write_page(tmp_path / "page.md.j2", records, "page")

    return make
