"""The panels of figures of curves, for any number of models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
import pandas as pd

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.reports.statistics.grouped import drawn, over_seeds

START = 50
"""At most this many first steps after the switch to a new model have a panel of their own."""

_ENOUGH = 10  # first steps, measured one by one, that are worth a panel

MANY = 4
"""With more models than this, earlier models are averaged."""

_LATER = "steps since model 2 began"
_POINTS = 240  # per line: more cannot be seen, and would make the files large


class MeasuredModels(StrEnum):
    """The models whose accuracies a panel shows."""

    ALL = "all"
    EARLIER = "earlier"
    """The mean of the models before the one in training, from the second on."""
    NEW = "new"
    """The model in training itself, from the second on."""


@dataclass(frozen=True)
class Panel:
    """The curves of one pair of axes.

    Attributes:
        title: What is measured.
        axis: What the steps count.
        measured: One scenario's curves, see ``frames.curves_frame``.
        models: The models whose accuracies are shown.
        group: Panels of the same group share their accuracy axis.
        model: The only model that is shown, from the second model's training on; ``None`` for
            those of ``models``.
        first: Only so many first steps after each switch to a new model, the mean over the
            switches; 0 for all of the training.
        width: Relative width.
        shaded: End of the part that another panel enlarges, 0 for none.
    """

    title: str
    axis: str
    measured: pd.DataFrame
    models: MeasuredModels
    group: str
    model: int | None = None
    first: int = 0
    width: float = 1.0
    shaded: float = 0.0

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One value per variant, seed and step: the mean over the models.

        Columns variant, seed, phase (lines break between phases), x and accuracy.
        """
        frame = self.measured
        if self.model is not None:
            frame = frame[(frame["model"] == self.model) & (frame["trained"] > 0)]
        elif self.models == MeasuredModels.EARLIER:
            frame = frame[frame["model"] < frame["trained"]]
        elif self.models == MeasuredModels.NEW:
            frame = frame[(frame["model"] == frame["trained"]) & (frame["trained"] > 0)]
        if self.first:
            lines = _means(frame[frame["step"] <= self.first], ["variant", "seed", "step"])
            return lines.assign(phase=0, x=lines["step"])
        x = "step" if frame["trained"].max() == 0 else "position"
        lines = _means(frame, ["variant", "seed", "trained", x])
        return lines.rename(columns={"trained": "phase", x: "x"})

    @cached_property
    def starts(self) -> tuple[float, ...]:
        """Where the next models begin, if there are several."""
        own = self.measured
        if self.first or own["trained"].max() < 2:
            return ()
        return tuple(own[own["trained"] > 0].groupby("trained")["position"].min())


def panels(frame: pd.DataFrame) -> list[Panel]:
    """Choose the panels for one scenario's curves (see ``frames.curves_frame``)."""
    last = int(frame["trained"].max())
    if last == 0:
        return [Panel("model 1", "steps", frame, MeasuredModels.ALL, "new")]
    close = _measured_closely(frame)
    begin = [first_steps(frame, close)] if close else []
    if last == 1:
        return [*begin, replace(earlier_models(frame), shaded=close), new_model(frame)]
    if last >= MANY:
        return [*begin, earlier_models(frame), new_model(frame)]
    each = [
        Panel(f"model {n + 1}", _LATER, frame, MeasuredModels.ALL, "each", model=n)
        for n in range(last + 1)
    ]
    return [*begin, *each]


def earlier_models(frame: pd.DataFrame) -> Panel:
    """Return the panel of the earlier models, their mean, while the later ones train."""
    title, axis = "earlier models, mean", _LATER
    if frame["trained"].max() == 1:
        title, axis = "model 1 while model 2 trains", "steps of model 2"
    return Panel(title, axis, frame, MeasuredModels.EARLIER, "earlier")


def new_model(frame: pd.DataFrame) -> Panel:
    """Return the panel of each later model during its own training."""
    title, axis = "the model in training", _LATER
    if frame["trained"].max() == 1:
        title, axis = "model 2", "steps of model 2"
    return Panel(title, axis, frame, MeasuredModels.NEW, "new")


def first_steps(frame: pd.DataFrame, steps: int) -> Panel:
    """Return the panel of the first steps after a switch to a new model.

    It shows the mean over the earlier models and over the switches.
    """
    title, axis = f"earlier models, first {steps} steps", "steps since a new model began"
    if frame["trained"].max() == 1:
        title, axis = f"model 1, first {steps} steps", "steps of model 2"
    models = MeasuredModels.EARLIER
    return Panel(title, axis, frame, models, "earlier", first=steps, width=0.9)


def average(frame: pd.DataFrame) -> pd.DataFrame:
    """Average a panel's lines over seeds, in per cent, thinned to what can be seen.

    Returns:
        Columns variant, phase, x, mean, low and high (what is drawn, see
        ``grouped.drawn``), ordered along each line.
    """
    grouped = frame.groupby(["variant", "phase", "x"], observed=True)["accuracy"]
    found = drawn(over_seeds(grouped, ACCURACY))
    found[["mean", "low", "high"]] *= 100
    lines = [_thinned(line) for _, line in found.groupby(["variant", "phase"], observed=True)]
    return pd.concat(lines)[["variant", "phase", "x", "mean", "low", "high"]]


def _measured_closely(frame: pd.DataFrame) -> int:
    """How many first steps after a switch were measured one by one, 0 if only a few."""
    steps = set(frame[frame["model"] < frame["trained"]]["step"])
    closely = next(step for step in range(START + 1) if step == START or step + 1 not in steps)
    return closely if closely >= _ENOUGH else 0


def _means(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return frame.groupby(keys, as_index=False, observed=True)["accuracy"].mean()


def _thinned(line: pd.DataFrame) -> pd.DataFrame:
    """Keep both ends, and the lowest and highest point of each short stretch: no dip is lost."""
    if len(line) <= _POINTS:
        return line
    mean = line["mean"].fillna(0).to_numpy()
    kept = {0, len(line) - 1}
    for stretch in np.array_split(np.arange(len(line)), _POINTS // 2 - 1):
        kept |= {int(stretch[mean[stretch].argmin()]), int(stretch[mean[stretch].argmax()])}
    return line.iloc[sorted(kept)]
