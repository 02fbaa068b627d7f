"""The options of ``palimpsest run`` and of ``run_suite``, in one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from palimpsest.benchmark.executors.target import LOCAL, Target


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of runs: the executor, the number of workers, the data."""

    store: Annotated[Path, typer.Option("--store", help="The results database.")] = Path(
        "palimpsest.db"
    )
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; default: one per processor.")
    ] = None
    hold: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long to hold runs in memory if the store cannot be written, before they are "
            "written into STORE.rescued; default: 60.",
        ),
    ] = None
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the data sets; default: $PALIMPSEST_DATA, else the cache."
        ),
    ] = None
    scratch: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder for temporary shared files; default: /tmp."),
    ] = None
    run_timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="End a run after this time; it then counts as failed."
        ),
    ] = None
    retries: Annotated[
        int, typer.Option(min=0, help="How often a run is retried after its process has died.")
    ] = 1
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS",
            min=1,
            help="Save a run after each model and this often, to resume it after a kill; by "
            "default after a model, at most once a minute.",
        ),
    ] = None
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu"
    executor: Annotated[
        str, typer.Option(metavar="NAME", help="local, or a cluster: ray, slurm.")
    ] = LOCAL
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster, HOST:PORT; default: auto.")
    ] = None
    slurm: Mapping[str, str] | Sequence[str] | None = None

    @cached_property
    def target(self) -> Target:
        """The machine or cluster that runs train on.

        Raises:
            UserError: There is no such executor, or an option is for another one.
        """
        return Target.of(self.executor, self.address, self.slurm)
