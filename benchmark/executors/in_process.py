"""Runs one after another in this process."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmark.store import Record
from benchmark.suite import Run


def run_in_process(
    runs: Sequence[Run], root: Path, report: Callable[[Run, float], None]
) -> Iterator[Record]:
    """Carry out runs, and return each as it ends.

    Args:
        runs: In this order.
        root: The folder that holds the data sets.
        report: Told the fraction done of the run under way.

    Yields:
        The finished runs.
    """
    logging.captureWarnings(capture=True)  # Avalanche's, several a run
    import torch

    from benchmark.runner import execute

    torch.set_num_threads(1)  # as in a worker, so that the numbers are the same
    with tempfile.TemporaryDirectory(prefix="palimpsest-") as scratch:
        for run in runs:
            report(run, 0.0)
            yield execute(run, root, Path(scratch), lambda done, run=run: report(run, done))  # type: ignore[misc]
