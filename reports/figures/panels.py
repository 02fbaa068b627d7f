"""What the figure of curves shows: its panels, for two models or for many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.statistics.grouped import drawn, over_seeds
from reports.statistics.limits import ACCURACY

START = 50
"""The first steps after the switch to a new model have a panel of their own, at most so many."""

_ENOUGH = 10  # of them, measured one by one, make a panel worth while

MANY = 4
"""From more models than this on, earlier models are averaged."""

_POINTS = 240  # of a line: more cannot be seen, and would make the page heavy


@dataclass(frozen=True)
class Panel:
    """One column of the figure.

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
        alone = _lines(frame, "step")
        return [Panel("model 0", "steps", alone, "new")]
    later = frame[frame["trained"] > 0]
    earlier = later[later["model"] < later["trained"]]
    close = _measured_closely(earlier)
    begin = list(_start(earlier, close, last))
    if last == 1:
        new = later[later["model"] == later["trained"]]
        return [
            *begin,
            Panel(
                "model 0 while model 1 trains",
                "steps of model 1",
                _lines(earlier, "position"),
                "earlier",
                shaded=close,
            ),
            Panel("model 1", "steps of model 1", _lines(new, "position"), "new"),
        ]
    starts = tuple(later.groupby("trained")["position"].min())
    axis = "steps since model 1 began"
    if last >= MANY:
        new = later[later["model"] == later["trained"]]
        return [
            *begin,
            Panel(
                "earlier models, mean", axis, _lines(earlier, "position"), "earlier", starts=starts
            ),
            Panel("the model in training", axis, _lines(new, "position"), "new", starts=starts),
        ]
    each = [
        Panel(f"model {model}", axis, _lines(part, "position"), "each", starts=starts)
        for model, part in later.groupby("model")
    ]
    return [*begin, *each]


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


def _measured_closely(earlier: pd.DataFrame) -> int:
    """How many of the first steps after a switch were measured one by one, 0 if only a few."""
    steps = set(earlier["step"])
    closely = next(step for step in range(START + 1) if step == START or step + 1 not in steps)
    return closely if closely >= _ENOUGH else 0


def _start(earlier: pd.DataFrame, close: int, last: int) -> Iterator[Panel]:
    """The first steps after a switch, where they were measured closely enough."""
    if not close:
        return
    first = earlier[earlier["step"] <= close]
    keys = ["variant", "seed", "step"]
    per_seed = first.groupby(keys, as_index=False, observed=True)["accuracy"].mean()
    lines = per_seed.assign(phase=0, x=per_seed["step"])
    if last == 1:
        title, axis = f"model 0, first {close} steps", "steps of model 1"
    else:
        title, axis = f"earlier models, first {close} steps", "steps since a new model began"
    yield Panel(title, axis, lines, "earlier", width=0.9)


def _lines(frame: pd.DataFrame, x: str) -> pd.DataFrame:
    """One value a variant, seed and step: the mean over the models in ``frame``."""
    keys = ["variant", "seed", "trained", x]
    lines = frame.groupby(keys, as_index=False, observed=True)["accuracy"].mean()
    return lines.rename(columns={"trained": "phase", x: "x"})


def _thinned(line: pd.DataFrame) -> pd.DataFrame:
    """Keep both ends, and of each short stretch the lowest and the highest: no dip is lost."""
    if len(line) <= _POINTS:
        return line
    mean = line["mean"].fillna(0).to_numpy()
    kept = {0, len(line) - 1}
    for stretch in np.array_split(np.arange(len(line)), _POINTS // 2 - 1):
        kept |= {int(stretch[mean[stretch].argmin()]), int(stretch[mean[stretch].argmax()])}
    return line.iloc[sorted(kept)]
