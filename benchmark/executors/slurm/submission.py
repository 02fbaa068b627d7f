"""Submits job arrays with submitit, and asks Slurm about their tasks."""

from __future__ import annotations

import contextlib
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import submitit

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.executors.local import starting
from palimpsest.benchmark.executors.slurm import task as slurm_task

_NEVER = {
    *("BadConstraints", "InvalidAccount", "InvalidQOS", "PartitionConfig", "PartitionNodeLimit"),
    "PartitionTimeLimit",
}
"""Slurm's reasons for waiting that never end."""

_SECONDS = 30
"""The time limit for a command of Slurm."""


class Submission:
    """The tasks that work on one ``JobFolder``.

    Args:
        folder: Of the jobs; submitit's files are in it, too.
        parameters: Of ``sbatch``, by name, with underscores.
        local: Start the tasks as processes of this machine, without Slurm.

    Attributes:
        tasks: The ids of the tasks of the current array; empty if there is none.
        hopeless: Slurm's reason why no task can ever start; empty if none is known.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, object], *, local: bool) -> None:
        self.tasks: set[str] = set()
        self.hopeless = ""
        self._folder = folder
        self._local = local
        self._executor = _executor(folder / "submitit", parameters, local)
        self._jobs: dict[str, Any] = {}

    @staticmethod
    def check(parameters: Mapping[str, str], folder: Path, *, local: bool) -> None:
        """Refuse parameters that submitit does not accept.

        Raises:
            UserError: Says what was expected.
        """
        _executor(folder, parameters, local)

    def submit(self, count: int) -> None:
        """Submit an array of this number of tasks.

        Raises:
            UserError: Slurm does not accept it.
        """
        try:
            with starting.safe_path(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                jobs = self._executor.map_array(slurm_task.serve, [str(self._folder)] * count)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            raise UserError(f"Slurm does not take the job array: {_last_line(error)}") from error
        self._jobs = {str(job.job_id): job for job in jobs}
        self.tasks = set(self._jobs)

    def gone(self) -> set[str]:
        """Return the tasks that are known to have ended."""
        if self._local:
            return {task for task, job in self._jobs.items() if job.done()}
        asked = ["squeue", "--noheader", "--array", "--format=%i %T %r", f"--jobs={self._arrays()}"]
        try:
            found = subprocess.run(
                asked, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return set()  # unknown at present
        if found.returncode and "Invalid job id" not in found.stderr:
            return set()
        lines = [line.split(maxsplit=2) for line in found.stdout.splitlines()]
        reasons = {words[-1] if words[1] == "PENDING" else "" for words in lines if len(words) == 3}
        self.hopeless = ", ".join(sorted(reasons)) if reasons and reasons <= _NEVER else ""
        return self.tasks - {words[0] for words in lines if words}

    def state(self, task: str) -> str:
        """Return the end of a task in words: Slurm's state, and the last line of its errors."""
        state = ""
        if not self._local:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                asked = ["scontrol", "--oneliner", "show", "job", task]
                shown = subprocess.run(
                    asked, capture_output=True, text=True, timeout=_SECONDS, check=False
                )
                words = [word for word in shown.stdout.split() if word.startswith("JobState=")]
                state = words[0].partition("=")[2] if words else ""
        last = ""
        with contextlib.suppress(OSError):
            lines = self._jobs[task].paths.stderr.read_text("utf-8", "replace").splitlines()
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ", ".join(filter(None, (state, last))) or "the reason is unknown"

    def cancel(self, *, waiting_only: bool = False) -> None:
        """End all tasks, or only those that have not started."""
        if not self.tasks:
            return
        if self._local:
            for job in () if waiting_only else self._jobs.values():
                job.cancel(check=False)
            return
        which = ["--state=PENDING"] if waiting_only else []
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                ["scancel", "--quiet", *which, *self._arrays().split(",")],
                capture_output=True, timeout=_SECONDS, check=False,
            )  # fmt: skip

    def _arrays(self) -> str:
        return ",".join(sorted({task.partition("_")[0] for task in self.tasks}))


def _executor(folder: Path, parameters: Mapping[str, object], local: bool) -> Any:
    """Return submitit's executor.

    Raises:
        UserError: It does not accept a parameter.
    """
    if local:
        made: Any = submitit.LocalExecutor(folder)
        made.update_parameters(timeout_min=24 * 60)
        return made
    made = submitit.SlurmExecutor(folder)
    known = made._valid_parameters()
    more = {name.replace("_", "-"): v for name, v in parameters.items() if name not in known}
    own = {name: value for name, value in parameters.items() if name in known}
    for name in ("setup", "teardown", "srun_args", "additional_parameters"):
        if name in own:
            raise UserError(
                f"slurm parameter {name}: not one of sbatch; {nearest(name, {'partition', 'time'})}"
            )
    # Without a time, the partition's own limit holds, not the five minutes of submitit.
    made.update_parameters(
        **{"time": None, "job_name": "palimpsest"} | own, additional_parameters=more or None
    )
    return made


def _last_line(error: BaseException) -> str:
    output = getattr(error, "stderr", None) or str(error)
    lines = [line.strip() for line in str(output).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
