"""Interleaved measurements, and the ratios between implementations.

Machines are shared and their speed drifts, so only measurements of the same minute are comparable:
every repeat measures all cases once, ratios are taken within a repeat, and medians are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import torch

from palimpsest.benchmark.training.evaluation import now
from palimpsest.strategies.base.diverged import DivergedError

Implementation = Literal["loop", "avalanche", "palimpsest"]
"""A hand-written PyTorch loop, Avalanche as it ships, or this harness."""

STEPS = "steps"
"""The phase of a method's steps alone, which are compared with the whole of a plain training."""


@dataclass(frozen=True)
class Case:
    """Something to time.

    Attributes:
        workload: What is trained, evaluated or estimated.
        method: A strategy's or an estimator's name.
        implementation: Whose code does it.
        samples: How many samples each phase processes.
        run: Does it once and returns each phase's seconds; preparation is not counted.
    """

    workload: str
    method: str
    implementation: Implementation
    samples: Mapping[str, int]
    run: Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class SpeedRow:
    """One phase of a case, as ``palimpsest speed`` prints it.

    Attributes:
        workload: As in the case.
        method: As in the case.
        phase: One of the case's.
        implementation: As in the case.
        samples_per_second: Median over the repeats.
        ratio_to_loop: To the loop's rate in the same repeat, median over the repeats; the loop of
            the same method, or the workload's if there is none. ``None``: there is no loop.
        ratio_to_avalanche: Likewise; ``None`` if Avalanche has no such method.
    """

    workload: str
    method: str
    phase: str
    implementation: Implementation
    samples_per_second: float
    ratio_to_loop: float | None
    ratio_to_avalanche: float | None


class Stopwatch:
    """Seconds of work: CPU time on a CPU, wall-clock time with synchronisation elsewhere.

    Other programs on a shared machine change CPU time less. One thread does the work.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._start = now(self._device)

    def seconds(self) -> float:
        """Return the time since the watch was created or last read."""
        read = now(self._device)
        passed, self._start = read - self._start, read
        return max(passed, 1e-9)


def measure(
    cases: Sequence[Case], repeats: int, tell: Callable[[str], None] = lambda line: None
) -> list[SpeedRow]:
    """Time all cases in turn, several times over; leave out those whose training diverges."""
    rates: dict[tuple[str, str, str, Implementation], list[float]] = {}
    left = list(cases)
    for _ in range(repeats):
        for case in list(left):
            name = f"{case.workload}: {case.method}, {case.implementation}"
            tell(name)
            try:
                phases = case.run()
            except DivergedError as error:
                tell(f"{name} is left out: {error}")
                left.remove(case)
                for phase in case.samples:
                    rates.pop((case.workload, case.method, phase, case.implementation), None)
                continue
            for phase, seconds in phases.items():
                key = (case.workload, case.method, phase, case.implementation)
                rates.setdefault(key, []).append(case.samples[phase] / seconds)

    def ratio(key: tuple[str, str, str, Implementation], to: Implementation) -> float | None:
        workload, method, phase, _ = key
        own = rates.get((workload, method, phase, to))
        alike = "train" if phase == STEPS else phase
        plain = [
            found for (w, _, p, by), found in rates.items() if (w, p, by) == (workload, alike, to)
        ]
        others = own or (plain[0] if plain and to == "loop" else None)
        if others is None:
            return None
        return median(a / b for a, b in zip(rates[key], others, strict=True))

    return [
        SpeedRow(*key, median(found), ratio(key, "loop"), ratio(key, "avalanche"))
        for key, found in rates.items()
    ]
