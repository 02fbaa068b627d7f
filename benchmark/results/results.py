"""Finished runs in Python: as records, or as a pandas frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from palimpsest.benchmark.plugins import load_files, load_metrics
from palimpsest.benchmark.results.run_settings import ambiguous
from palimpsest.benchmark.results.selection import Selection
from palimpsest.benchmark.store.archive import read_runs, read_suites
from palimpsest.benchmark.store.store import Record, SuiteNote

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

    @property
    def cell(self) -> list[str]:
        """The columns of a frame that say which runs belong together, those of one cell.

        They are ``scenario``, ``strategy`` and ``strength``, and the settings in which runs differ
        that have these in common.
        """
        return ["scenario", "strategy", "strength", *ambiguous(self.records)]

    def frame(self, by: Literal["run", "model", "moment"] = "run") -> pd.DataFrame:
        """Return the runs as a tidy table, numbers as numbers; what is not known is missing.

        Settings in which the runs differ have columns: ``scenario.width``, and of strategies those
        that differ under one name, such as ``strategy.form``. Metrics that apply to none of the
        runs, such as those of architecture searches, have none.

        Args:
            by: ``run``: a row per run, with its metrics (fractions) and what it took. ``model``: a
                row per run and model, with the model's accuracies and its training; runs that
                failed have none. ``moment``: a row per run, moment and model that was evaluated
                then, for models that are trained by turns; other runs have none.

        Raises:
            UserError: ``by`` is none of these.
        """
        from palimpsest.benchmark.results.frame import frame

        return frame(self.records, by)

    def where(
        self,
        *,
        suite: str | None = None,
        scenario: str | None = None,
        strategies: Iterable[str] | None = None,
    ) -> Results:
        """Return some of the runs.

        Args:
            suite: Only those of this suite, see ``benchmark/results/selection.py``.
            scenario: Only those in this scenario.
            strategies: Only those of these strategies.

        Raises:
            UserError: There is no run of such a name, or none of all of them.
        """
        chosen = Selection(
            None if suite is None else [suite],
            None if scenario is None else [scenario],
            None if strategies is None else list(strategies),
        )
        records = tuple(chosen.only(self.records, self.suites))
        return Results(self.path, records, tuple(chosen.narrowed(self.suites)))

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
