"""``palimpsest speed``."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from palimpsest.benchmark.cli.models import SpeedCommand
from palimpsest.benchmark.cli.printing.console import table_console
from palimpsest.benchmark.cli.printing.output import say, tell
from palimpsest.benchmark.data.catalog import data_root
from palimpsest.benchmark.data.sets import SETS
from palimpsest.benchmark.orchestration.plan import check_device
from palimpsest.benchmark.suites.loading import load_suite

if TYPE_CHECKING:
    from palimpsest.benchmark.speed.measure import Case, SpeedRow

_FISHER_SAMPLES = 128
_CURVES = "two_models_curves"
_MANY_MODELS = "many_models"
_IMAGES = ("images_cnn", "images_resnet")


def measure_speed(options: SpeedCommand) -> None:
    """Measure the workloads of the suite ``speed`` and print rates and ratios.

    Raises:
        UserError: A setting is wrong, or there is no such device.
    """
    check_device(options.device)
    root = data_root(options.data_root).resolve()
    os.environ["OMP_NUM_THREADS"] = "1"
    logging.captureWarnings(capture=True)  # Avalanche's
    import torch

    from palimpsest.benchmark.speed.measure import measure

    torch.set_num_threads(1)

    rows = measure(_cases(options, root), options.repeats, tell)
    if options.as_json:
        say(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        _print(rows)


def _cases(options: SpeedCommand, root: Path) -> list[Case]:
    from palimpsest.benchmark.speed import importance, many_models, training
    from palimpsest.strategies.base.catalogue import STRATEGIES
    from palimpsest.strategies.penalty.fisher_penalty import FisherPenalty

    settings = options.settings or []
    if not SETS["mnist"].is_there(root):
        scenarios = ("split", "split_adam", "two_models", "two_models_curves")
        settings = [*(f"scenarios.{name}.data=digits" for name in scenarios), *settings]
    suite = load_suite("speed", settings=settings)
    found: list[Case] = []
    left_out: dict[str, None] = {}
    for run in suite.runs(options.device, root):
        plain = run.facts.role == "baseline"
        if run.scenario == _MANY_MODELS:
            if issubclass(STRATEGIES[run.spec.strategy.kind], FisherPenalty):
                found.append(many_models.case(run, root))
        elif run.scenario == _CURVES:
            if plain:
                found += training.cases(run, root, ("loop", "palimpsest"))
        elif run.spec.scenario.settings["data"] == "cifar10" and not SETS["cifar10"].is_there(root):
            left_out[run.scenario] = None
        elif run.scenario in _IMAGES:
            if plain:  # what penalties cost more is their importances, see below
                found += training.cases(run, root)
        else:
            found += training.cases(run, root)
    if left_out:
        tell(
            f"{' and '.join(left_out)} are left out: there is no CIFAR-10 in {root}; give its "
            "folder with --data-root, or other images with --set scenarios.NAME.data=folder:PATH"
        )
    return found + importance.cases(options.device, _FISHER_SAMPLES)


def _print(rows: Sequence[SpeedRow]) -> None:
    console = table_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("workload", "method", "phase", "implementation"):
        table.add_column(title, no_wrap=True)
    for title in ("samples/s", "/ loop", "/ Avalanche"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        ratios = [row.ratio_to_loop, row.ratio_to_avalanche]
        table.add_row(
            row.workload,
            row.method,
            row.phase,
            row.implementation,
            f"{row.samples_per_second:,.0f}",
            *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        )
    console.print(table, markup=False, highlight=False)
