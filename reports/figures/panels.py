"""The panels of figures of curves, for any number of models."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.statistics.grouped import drawn, over_seeds
from reports.statistics.limits import ACCURACY

START = 50
"""At most this many first steps after the switch to a new model have a panel of their own."""

_ENOUGH = 10  # first steps, measured one by one, that are worth a panel

MANY = 4
"""With more models than this, earlier models are averaged."""

_POINTS = 240  # per line: more cannot be seen, and would make the files large


@dataclass(frozen=True)
class Panel:
    """What one pair of axes shows.

    Attributes:
        title: What is measured.
        axis: What the steps count.
        frame: Columns variant, seed, phase (lines break between phases), x and accuracy.
        group: Panels of the same group share their accuracy axis.
        width: Relative width.
        starts: Where to mark that the next model begins.
        shaded: End of the part that another panel enlarges, 0 for none.
    """

    title: str
    axis: str
    frame: pd.DataFrame
    group: str
    width: float = 1.0
    starts: tuple[float, ...] = ()
    shaded: float = 0.0


def panels(frame: pd.DataFrame) -> list[Panel]:
    """Choose the panels for one scenario's curves (see ``frames.curves_frame``)."""
    last = int(frame["trained"].max())
    if last == 0:
        return [Panel("model 1", "steps", _lines(frame, "step"), "new")]
    close = _measured_closely(frame)
    begin = [first_steps(frame, close)] if close else []
    if last == 1:
        return [*begin, replace(earlier_models(frame), shaded=close), new_model(frame)]
    if last >= MANY:
        return [*begin, earlier_models(frame), new_model(frame)]
    whole = earlier_models(frame)
    each = [
        replace(whole, title=f"model {model + 1}", frame=_lines(part, "position"), group="each")
        for model, part in frame[frame["trained"] > 0].groupby("model")
    ]
    return [*begin, *each]


def earlier_models(frame: pd.DataFrame) -> Panel:
    """Return the panel of the earlier models, their mean, while the later ones train."""
    later = frame[frame["trained"] > 0]
    lines = _lines(later[later["model"] < later["trained"]], "position")
    if frame["trained"].max() == 1:
        return Panel("model 1 while model 2 trains", "steps of model 2", lines, "earlier")
    starts = tuple(later.groupby("trained")["position"].min())
    return Panel("earlier models, mean", "steps since model 2 began", lines, "earlier", 1.0, starts)


def new_model(frame: pd.DataFrame) -> Panel:
    """Return the panel of each later model during its own training."""
    later = frame[frame["trained"] > 0]
    lines = _lines(later[later["model"] == later["trained"]], "position")
    if frame["trained"].max() == 1:
        return Panel("model 2", "steps of model 2", lines, "new")
    starts = tuple(later.groupby("trained")["position"].min())
    axis = "steps since model 2 began"
    return Panel("the model in training", axis, lines, "new", 1.0, starts)


def first_steps(frame: pd.DataFrame, steps: int) -> Panel:
    """Return the panel of the first steps after a switch to a new model.

    The mean over the earlier models, and over the switches.

    Args:
        frame: See ``frames.curves_frame``.
        steps: How many.
    """
    first = frame[(frame["model"] < frame["trained"]) & (frame["step"] <= steps)]
    keys = ["variant", "seed", "step"]
    per_seed = first.groupby(keys, as_index=False, observed=True)["accuracy"].mean()
    lines = per_seed.assign(phase=0, x=per_seed["step"])
    if frame["trained"].max() == 1:
        return Panel(f"model 1, first {steps} steps", "steps of model 2", lines, "earlier", 0.9)
    title = f"earlier models, first {steps} steps"
    return Panel(title, "steps since a new model began", lines, "earlier", 0.9)


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


def _lines(frame: pd.DataFrame, x: str) -> pd.DataFrame:
    """One value per variant, seed and step: the mean over the models in ``frame``."""
    keys = ["variant", "seed", "trained", x]
    lines = frame.groupby(keys, as_index=False, observed=True)["accuracy"].mean()
    return lines.rename(columns={"trained": "phase", x: "x"})


def _thinned(line: pd.DataFrame) -> pd.DataFrame:
    """Keep both ends, and the lowest and highest point of each short stretch: no dip is lost."""
    if len(line) <= _POINTS:
        return line
    mean = line["mean"].fillna(0).to_numpy()
    kept = {0, len(line) - 1}
    for stretch in np.array_split(np.arange(len(line)), _POINTS // 2 - 1):
        kept |= {int(stretch[mean[stretch].argmin()]), int(stretch[mean[stretch].argmax()])}
    return line.iloc[sorted(kept)]
