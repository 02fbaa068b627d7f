"""The estimate of the remaining time, for all displays."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean as mean

from palimpsest.benchmark.orchestration.estimate import Durations, RunKind
from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.jobs import Job
from palimpsest.benchmark.suites.suite import Run


@dataclass
class _ActiveJob:
    """An active job: when it began, and when its first progress was reported."""

    job: Job
    began: float
    seen: float = 0.0
    first: float = 0.0
    fraction: float = 0.0

    def progressed(self, fraction: float, now: float) -> None:
        if fraction and not self.first:
            self.first, self.seen = fraction, now
        self.fraction = fraction

    def whole(self, now: float) -> float | None:
        """Return the job's total time, estimated from its steps; ``None`` if they are too few."""
        if self.fraction <= self.first:
            return None
        pace = (now - self.seen) / (self.fraction - self.first)
        return self.seen - self.began + pace


class Eta:
    """An estimate from finished runs and from the progress of active ones.

    The missing runs are counted in seconds, by scenario and strategy. The sum is divided by the
    number of parallel runs so far, including those of other processes. There is no estimate until
    something is known about each scenario.

    Args:
        todo: The missing runs.
        known: Finished runs of the same suites.
        clock: Returns seconds; for tests.
    """

    def __init__(
        self,
        todo: Sequence[Run],
        known: Iterable[Record] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._durations = Durations(known)
        self._clock = clock
        self._kinds = {run.key: RunKind.of(run.spec) for run in todo}
        self._waiting = set(self._kinds)
        self._counts = Counter(self._kinds.values())
        self._active: dict[str, _ActiveJob] = {}
        self._began: float | None = None
        self._busy = 0.0
        self._ours: set[str] = set()

    def progressed(self, job: Job, fraction: float) -> None:
        """Note the progress of a job."""
        now = self._clock()
        self._began = now if self._began is None else self._began
        name = job[0].key
        before = self._active.get(name)
        if before is None or before.job != job or fraction < before.fraction:
            for run in before.job if before else ():  # it begins again, perhaps run by run
                self._add_waiting(run.key)
            for run in job:
                self._remove_waiting(run.key)
                self._ours.add(run.key)
            self._active[name] = _ActiveJob(job, now)
        self._active[name].progressed(fraction, now)

    def ended(self, record: Record) -> None:
        """Note that a run has ended, here or in another process."""
        key, now = record.key, self._clock()
        self._remove_waiting(key)
        job = self._active.pop(key, None)
        if job is not None:
            self._busy += now - job.began
        elif self._began is None:  # it began before this process did anything
            self._began = now
        elif key not in self._ours:
            self._busy += record.seconds
        self._durations.add(record)

    def _add_waiting(self, key: str) -> None:
        if key not in self._waiting:
            self._waiting.add(key)
            self._counts[self._kinds[key]] += 1

    def _remove_waiting(self, key: str) -> None:
        if key in self._waiting:
            self._waiting.remove(key)
            self._counts[self._kinds[key]] -= 1

    @property
    def seconds(self) -> float | None:
        """The estimate in seconds; ``None`` if there is none yet."""
        if not self._waiting and not self._active:
            return 0.0
        now = self._clock()
        busy = self._busy + sum(now - each.began for each in self._active.values())
        if self._began is None or now <= self._began or busy <= 0:
            return None
        by_steps = self._by_steps(now)
        left: list[tuple[float, float | None]] = [
            (len(each.job) * (1 - each.fraction), self._whole(self._kind(each), by_steps))
            for each in self._active.values()
        ]
        waiting = [kind for kind, count in self._counts.items() if count]
        left += [(self._counts[kind], self._whole(kind, by_steps)) for kind in waiting]
        known = [(share, seconds) for share, seconds in left if seconds is not None]
        if len(known) < len(left):
            return None
        at_once = min(busy / (now - self._began), len(self._waiting) + len(self._active))
        longest = max(min(share, 1) * seconds for share, seconds in known)
        return max(sum(share * seconds for share, seconds in known) / at_once, longest)

    def _kind(self, each: _ActiveJob) -> RunKind:
        return self._kinds[each.job[0].key]

    def _by_steps(self, now: float) -> Mapping[tuple[str, str], float]:
        """Return the total time of active runs by scenario and strategy, from their steps."""
        found: dict[tuple[str, str], list[float]] = {}
        for each in self._active.values():
            whole, kind = each.whole(now), self._kind(each)
            if whole is not None:
                found.setdefault((kind.scenario, kind.strategy), []).append(whole / len(each.job))
        return {key: mean(own) for key, own in found.items()}

    def _whole(self, kind: RunKind, by_steps: Mapping[tuple[str, str], float]) -> float | None:
        """Return the time of a run; ``None`` if nothing is known about its scenario."""
        guess = self._durations.guess(kind)
        if guess is not None and guess.direct:
            return guess.seconds
        own = by_steps.get((kind.scenario, kind.strategy))
        if own is not None:
            return own
        if guess is not None:
            return guess.seconds
        others = [each for (scenario, _), each in by_steps.items() if scenario == kind.scenario]
        return mean(others) if others else None
