"""The search for the training that gives the paper's figure 3.

``python -m palimpsest.configs.paper.figure3_search --data-root DIR --output FILE.csv`` draws
settings at random (``draw_settings``), trains A and B with each, and compares the curves with what
is read off the paper's figure 3, all on the validation split. It writes a row per curve. Settings
are selected in five stages:

1. every setting, plain, one seed, panels a to d in turn, until its mean distance so far is above
   ``GIVE_UP``; one that was given up before d is dropped;
2. the ``SECOND`` nearest, a second seed, and WPL at each of ``STRENGTHS`` with two;
3. the ``THIRD`` nearest by both, six more seeds, WPL at its best strength of stage 2;
4. the one of these whose mean curves are nearest, and its ``neighbours``, with ``FOURTH`` seeds;
5. the nearest of these, with all seeds and WPL at each of ``MORE_STRENGTHS``.

A distance is the root mean square of ten differences in points: A's and B's accuracy at
``STEPS``. In stages 1 and 2 it is the mean of single seeds' distances that counts (``ranking``),
then that of the mean curves (``nearest``); in both, the root mean square over the panels.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, fields, replace
from functools import partial
from math import exp, fsum, inf, log
from pathlib import Path

import torch

from palimpsest.configs.paper.figure3_loop import (
    PAPER,
    STEPS,
    Experiment,
    Options,
    Row,
    Setting,
    paper_curve,
    root_mean_square,
)

COUNT, GIVE_UP, SECOND, THIRD, FOURTH = 500, 20.0, 40, 10, 5
STRENGTHS, MORE_STRENGTHS = (3.0, 10.0, 30.0), (3.0, 10.0, 30.0, 100.0, 300.0)
SEEDS = range(1000, 1008)
"""Not those of the suite: one for stage 1, two for stage 2, all for stages 3 and 5."""
RATES, BATCHES, DECAYS = (0.05, 0.07, 0.1), (128, 256), (0.8, 1.0, 1.2)
"""Of stage 4: learning rates, batch sizes, and factors of the shared weights' decay."""


def draw_settings(count: int, seed: int = 0) -> list[Setting]:
    """Draw settings: the space of the search."""
    choose = random.Random(seed)

    def log_uniform(low: float, high: float) -> float:
        return float(f"{exp(choose.uniform(log(low), log(high))):.2g}")

    return [
        Setting(
            width=choose.choice([15, 20, 25, 30, 40, 50]),
            activation=choose.choice(["relu", "relu", "relu", "tanh"]),
            shared_layers=choose.choice([1, 2, 3, 4]),
            batch_size=choose.choice([64, 128, 256]),
            learning_rate=choose.choice([0.05, 0.07, 0.1, 0.14, 0.2]),
            momentum=choose.choice([0.0, 0.0, 0.0, 0.9]),
            shared_decay=log_uniform(0.01, 0.15),
            private_decay=choose.choice([0.0, 0.0, log_uniform(0.001, 0.05)]),
        )
        for _ in range(count)
    ]


def neighbours(setting: Setting) -> list[Setting]:
    """Return the settings of stage 4 around one."""
    return [
        replace(
            setting,
            learning_rate=rate,
            batch_size=batch,
            shared_decay=float(f"{factor * setting.shared_decay:.2g}"),
        )
        for rate in RATES
        for batch in BATCHES
        for factor in DECAYS
    ]


Job = tuple[int, Setting, int, Sequence[tuple[str, float]], float]
"""A setting's number, the setting, a seed, the requested curves, and the mean distance of plain
curves above which the rest is left out."""


def _work(options: Options, job: Job) -> list[Row]:
    torch.set_num_threads(1)
    number, setting, seed, curves, give_up = job
    experiment = Experiment(setting, seed, options)
    rows: list[Row] = []
    for panel, strength in curves:
        rows.append(experiment.measure(number, panel, strength))
        if fsum(row.distance for row in rows) > give_up * len(rows):
            break
    return rows


Save = Callable[[Sequence[Row], Sequence[Setting]], None]


def search(
    options: Options, count: int, workers: int, save: Save
) -> tuple[list[Row], list[Setting], int]:
    """Run the five stages.

    Args:
        options: What it works on.
        count: How many settings are drawn.
        workers: Processes.
        save: Called after each stage with all curves and settings so far.

    Returns:
        All curves, the settings that their numbers stand for, and the number of the nearest.
    """
    settings = list(enumerate(draw_settings(count)))
    plain = [(panel, 0.0) for panel in PAPER]
    protected = [(panel, strength) for strength in STRENGTHS for panel in PAPER]
    rows: list[Row] = []
    with ProcessPoolExecutor(workers) as pool:

        def run(jobs: Iterable[Job], stage: int) -> None:
            todo = list(jobs)
            for done, found in enumerate(pool.map(partial(_work, options), todo), start=1):
                rows.extend(found)
                print(f"stage {stage}: {done} of {len(todo)} done", flush=True)
            save(rows, [setting for _, setting in settings])

        run(((i, s, SEEDS[0], plain, GIVE_UP) for i, s in settings), 1)
        second = [settings[i] for i, _ in ranking(rows, with_wpl=False)[:SECOND]]
        run(
            (
                (i, s, seed, plain * (seed != SEEDS[0]) + protected, inf)
                for i, s in second
                for seed in SEEDS[:2]
            ),
            2,
        )
        third = ranking(rows, with_wpl=True)[:THIRD]
        run(
            (
                (i, settings[i][1], seed, plain + [(panel, strength) for panel in PAPER], inf)
                for i, strength in third
                for seed in SEEDS[2:]
            ),
            3,
        )
        best, strength = nearest(rows, [i for i, _ in third])
        around = list(enumerate(neighbours(settings[best][1]), start=count))
        settings += around
        run(
            (
                (i, s, seed, plain + [(panel, strength) for panel in PAPER], inf)
                for i, s in around
                for seed in SEEDS[:FOURTH]
            ),
            4,
        )
        last, _ = nearest(rows, [i for i, _ in around])
        known = {(row.panel, row.strength, row.seed) for row in rows if row.setting == last}
        all_ = [(panel, strength) for strength in (0.0, *MORE_STRENGTHS) for panel in PAPER]
        run(
            (
                (last, dict(around)[last], seed, [c for c in all_ if (*c, seed) not in known], inf)
                for seed in SEEDS
            ),
            5,
        )
    return rows, [setting for _, setting in settings], last


def nearest(rows: Sequence[Row], among: Collection[int]) -> tuple[int, float]:
    """Return the setting whose mean curves are nearest, plain and with WPL, and WPL's strength.

    Args:
        rows: Of the search.
        among: The settings to choose from. Only strengths that were run with as many seeds as plain
            training count.
    """
    found = []
    for setting in among:
        own = [row for row in rows if row.setting == setting]
        runs = Counter(row.strength for row in own)
        for strength in [s for s in runs if s and runs[s] == runs[0.0]]:
            differences = [
                mean - given
                for panel in PAPER
                for s in (0.0, strength)
                for mean, given in zip(
                    mean_curve(own, panel, s), paper_curve(panel, s), strict=True
                )
            ]  # equally many per panel: this is also the mean over panels
            found.append((root_mean_square(differences), setting, strength))
    _, setting, strength = min(found)
    return setting, strength


def mean_curve(rows: Sequence[Row], panel: str, strength: float) -> list[float]:
    """Return A's, then B's mean accuracies over the seeds of one setting, in per cent."""
    curves = [(*r.a, *r.b) for r in rows if r.panel == panel and r.strength == strength]
    return [fsum(values) / len(values) for values in zip(*curves, strict=True)]


def ranking(rows: Sequence[Row], *, with_wpl: bool) -> list[tuple[int, float]]:
    """Return settings and their best strength, the nearest first.

    Args:
        rows: Of the search so far; settings without all panels are left out.
        with_wpl: Rank by plain curves and those with WPL, at the strength that is nearest; else
            by plain curves alone (the strength is 0 then).
    """
    found: dict[tuple[int, float], dict[str, list[float]]] = {}
    for row in rows:
        found.setdefault((row.setting, row.strength), {}).setdefault(row.panel, []).append(
            row.distance
        )
    means = {
        key: [fsum(own) / len(own) for own in panels.values()]
        for key, panels in found.items()
        if len(panels) == len(PAPER)
    }
    scores: dict[int, tuple[float, float]] = {}
    for (setting, strength), own in means.items():
        if bool(strength) == with_wpl and (setting, 0.0) in means:
            score = root_mean_square(means[setting, 0.0] + own)
            scores[setting] = min(scores.get(setting, (inf, 0.0)), (score, strength))
    ranked = sorted((score, setting, strength) for setting, (score, strength) in scores.items())
    return [(setting, strength) for _, setting, strength in ranked]


def write(rows: Sequence[Row], settings: Sequence[Setting], path: Path) -> None:
    """Write a row per curve, with its setting."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [field.name for field in fields(Setting)]
        steps = [f"{model}_{step}" for model in "ab" for step in STEPS]
        writer.writerow(["setting", *names, "panel", "strength", "seed", "distance", *steps])
        for row in rows:
            writer.writerow(
                [row.setting, *asdict(settings[row.setting]).values(), row.panel, row.strength,
                 row.seed, f"{row.distance:.2f}", *(f"{v:.2f}" for v in (*row.a, *row.b))]
            )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the search from the command line."""
    parser = argparse.ArgumentParser(description="The search for the paper's figure 3.")
    parser.add_argument("--data-root", type=Path, required=True, help="the folder with MNIST")
    parser.add_argument("--output", type=Path, required=True, help="a CSV file to write")
    parser.add_argument("--count", type=int, default=COUNT, help="settings to draw")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    given = parser.parse_args(arguments)
    rows, settings, best = search(
        Options("mnist", given.data_root), given.count, given.workers,
        lambda rows, settings: write(rows, settings, given.output),
    )  # fmt: skip
    _, strength = nearest(rows, [best])
    print(f"nearest: setting {best}, {settings[best]}, WPL at {strength:g}")


if __name__ == "__main__":
    main()
