"""How a run gets its first model: it trains the model, or takes it over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from palimpsest.benchmark.runs.first_model.saver import FirstModelSaver
from palimpsest.benchmark.runs.first_model.storage import load
from palimpsest.benchmark.training.evaluation import CurveRecorder


def reuse_first_model(
    strategy: Any, experience: Any, path: Path, recorder: CurveRecorder, **training: Any
) -> None:
    """Train the first model and save it, or take it over from a run that has trained the same.

    Args:
        strategy: An ``InMemoryTraining`` with an untrained bank.
        experience: The first one.
        path: Where the first model is kept.
        recorder: The plugin that measures the run's curves; a model that is taken over brings its
            own curve.
        **training: Arguments of ``strategy.train``.
    """
    known = load(path, strategy.model, strategy.optimizer)
    if known is not None:
        if known.curve is not None:
            recorder.adopt(known.curve)
        strategy.train(experience, instead=known.put_into, **training)
        return
    saver = FirstModelSaver(path, recorder.curves)
    strategy.plugins.insert(0, saver)
    strategy.train(experience, **training)
    strategy.plugins.remove(saver)
