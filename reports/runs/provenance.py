"""Where the numbers come from: settings, versions, times, failures, and how to cite them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from palimpsest.benchmark.runs.provenance import palimpsest_version
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.wording.words import duration, ranges, several

_NAMED = 10  # how many runs with the same message are named; the table of runs has all

WPL_PAPER = """\
@inproceedings{benyahia2019overcoming,
  title     = {Overcoming Multi-Model Forgetting},
  author    = {Benyahia, Yassine and Yu, Kaicheng and Bennani-Smires, Kamil and Jaggi, Martin and
               Davison, Anthony C. and Salzmann, Mathieu and Musat, Claudiu},
  booktitle = {Proceedings of the 36th International Conference on Machine Learning},
  series    = {Proceedings of Machine Learning Research},
  volume    = {97},
  pages     = {594--603},
  publisher = {PMLR},
  year      = {2019}
}"""


@dataclass(frozen=True)
class FailedRuns:
    """A message and the runs that ended with it.

    Attributes:
        runs: Which runs, as text; only the first where there are many.
        traceback: That of the first run that has one; empty where none has.
    """

    kind: str
    message: str
    n: int
    runs: str
    traceback: str


def scenario_facts(record: Record) -> list[tuple[str, str]]:
    """Return the settings of a run's scenario, in short form."""
    settings = {**record.spec.scenario.settings, "device": record.spec.device}
    return [
        (key.replace("_", " "), _in_words(value))
        for key, value in settings.items()
        if value is not None
    ]


def exact_settings(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """Return the settings of every scenario and strategy in full, as JSON."""
    found: dict[tuple[str, str], None] = {}
    for kind in ("scenario", "strategy"):
        for cell in cells:
            spec = next(cell.runs).spec
            name = cell.scenario if kind == "scenario" else cell.variant.strategy
            part = spec.scenario if kind == "scenario" else spec.strategy.without_dial
            text = json.dumps(part.data, indent=2, ensure_ascii=False)
            found.setdefault((f"{kind} {name}", text))
    return list(found)


def origin(records: Sequence[Record], sources: Sequence[str]) -> list[tuple[str, str]]:
    """Return which runs these are, their time and memory, and the versions that made them."""
    return [
        ("runs from", ", ".join(sources)),
        ("suites", ", ".join(sorted({record.suite for record in records}))),
        ("seeds", seeds(records)),
        *_times(records),
        *_versions(records),
        ("report by", f"Palimpsest {palimpsest_version()}"),
    ]


def seeds(records: Sequence[Record]) -> str:
    """Name the seeds, consecutive ones as a range: ``0 to 4, 7``."""
    return ", ".join(ranges(record.seed for record in records))


def failures(cells: Sequence[Cell]) -> list[FailedRuns]:
    """Return every message once, with the runs that ended with it."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for cell in cells:
        for record in cell.failed:
            failure = record.failure
            assert failure is not None
            run = f"{cell.scenario}, {cell.variant.label}, seed {record.seed}"
            message = str(failure.kind), failure.message
            found.setdefault(message, []).append((run, failure.traceback))
    failed = []
    for message, runs in found.items():
        names = [name for name, _ in runs[:_NAMED]]
        names += [f"{len(runs) - _NAMED} more"] * (len(runs) > _NAMED)
        traceback = next((traceback for _, traceback in runs if traceback), "")
        failed.append(FailedRuns(*message, len(runs), "; ".join(names), traceback))
    return failed


def citation() -> str:
    """Return a BibTeX entry of this version of Palimpsest."""
    return f"""\
@misc{{palimpsest,
  title  = {{Palimpsest: A Benchmark of Methods against Forgetting in Networks whose Models
            Share Parameters}},
  author = {{{{The Palimpsest developers}}}},
  note   = {{Version {palimpsest_version()}}}
}}"""


def _times(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    started = sorted(record.started[:19] for record in records if record.started)
    if started:
        yield "started", f"first {started[0]}, last {started[-1]} (UTC)"
    yield "time", f"{duration(sum(record.seconds for record in records))} in all"
    for what, on_cpu in (("of a process", True), ("allocated on a device", False)):
        own = [r.peak_memory for r in records if r.spec.on_cpu is on_cpu]
        if peak := max(own, default=0):
            yield f"most memory {what}", f"{peak / 2**20:.0f} MiB"


def _versions(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys(name for record in records for name in record.versions):
        counts = Counter(record.versions.get(name, "unknown") for record in records)
        if len(counts) == 1:
            yield name, next(iter(counts))
        else:
            yield name, ", ".join(f"{text} ({several(n, 'run')})" for text, n in counts.items())


def _in_words(value: Any) -> str:
    """A setting on one line: ``rmsprop, learning rate 0.01``; what is switched off is left out."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json.dumps(value)
    parts = [
        _in_words(part) if key == "name" else f"{key.replace('_', ' ')} {_in_words(part)}"
        for key, part in sorted(value.items(), key=lambda item: item[0] != "name")
        if part or key == "name"
    ]
    return ", ".join(parts)
