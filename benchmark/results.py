"""Finished runs in Python: as records, or as a pandas frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark.archive import read_runs, read_suites
from benchmark.plugins import load_files, load_metrics
from benchmark.store import Record, SuiteNote

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Results:
    """Finished runs, as they were when they were read.

    Attributes:
        path: The results database or archive that they come from.
        records: One per run, in a stable order.
        suites: What is known of their suites, see ``SuiteNote``.
    """

    path: Path
    records: tuple[Record, ...]
    suites: tuple[SuiteNote, ...] = ()

    @property
    def failed(self) -> tuple[Record, ...]:
        """The runs that failed."""
        return tuple(record for record in self.records if record.status == "failed")

    def frame(self, by: Literal["run", "model", "moment"] = "run") -> pd.DataFrame:
        """Return the runs as a tidy table, numbers as numbers; what is not known is missing.

        Args:
            by: ``run``: a row per run, with its metrics (fractions) and what it took. ``model``: a
                row per run and model, with the model's accuracies and its training; runs that
                failed have none. ``moment``: a row per run, moment and model that was evaluated
                then, for models that are trained by turns; other runs have none.

        Raises:
            UserError: ``by`` is none of these.
        """
        from benchmark.frame import frame

        return frame(self.records, by)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} of them failed" if self.failed else ""
        return f"<{len(self)} runs of {self.path}{failed}>"


def open_store(path: Path | str, *, plugins: Iterable[Path | str] = ()) -> Results:
    """Read all runs of a results database, or of an archive (``palimpsest archive``).

    Metrics that installed packages announce are there as well.

    Args:
        path: The file; it is not changed.
        plugins: Python files that add metrics. Reading the runs of a strategy or scenario does
            not take the file that added it.

    Raises:
        UserError: It is missing, damaged, not a store, or of a newer version; a plugin cannot be
            loaded.
    """
    load_files(plugins)
    load_metrics()
    found = Path(path)
    return Results(found, tuple(read_runs(found)), tuple(read_suites(found)))
