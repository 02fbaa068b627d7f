"""The machine or cluster that the user has chosen for runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from palimpsest.benchmark.errors import UserError, nearest

LOCAL, RAY, SLURM = "local", "ray", "slurm"
_PACKAGES = {RAY: "ray", SLURM: "submitit"}

_SLURM_TASKS = 32
"""The default number of tasks of an array."""


@dataclass(frozen=True)
class Target:
    """This machine, or a cluster.

    Attributes:
        kind: ``local``, ``ray`` or ``slurm``.
        address: Of a Ray cluster: ``auto`` for the one that this machine is part of.
        slurm: Parameters of ``sbatch``, by name.
    """

    kind: str = LOCAL
    address: str = "auto"
    slurm: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        kind: str,
        address: str | None = None,
        slurm: Mapping[str, str] | Sequence[str] | None = None,
    ) -> Target:
        """Return the target for the user's options.

        Args:
            kind: The kind of executor.
            address: Of a Ray cluster.
            slurm: Parameters of ``sbatch``, by name or as ``NAME=VALUE,...``.

        Raises:
            UserError: There is no such executor, or an option is for another one.
        """
        if kind not in (LOCAL, RAY, SLURM):
            raise UserError(f"executor {kind!r}: {nearest(kind, (LOCAL, RAY, SLURM))}")
        if address is not None and kind != RAY:
            raise UserError(f"address {address}: only the executor ray has one (--executor ray)")
        if slurm and kind != SLURM:
            raise UserError("slurm parameters: only for the executor slurm (--executor slurm)")
        if not isinstance(slurm, Mapping):
            slurm = {name: value for text in slurm or () for name, value in _parameters(text)}
        return cls(kind, "auto" if address is None else address, dict(slurm))

    def require(self) -> None:
        """Refuse an executor whose package is missing.

        Raises:
            UserError: Says how to install it.
        """
        package = _PACKAGES.get(self.kind)
        if package and find_spec(package) is None:
            raise UserError(
                f"executor {self.kind}: the package {package} is not installed; "
                f"pip install 'palimpsest-bench[{self.kind}]'"
            )

    @property
    def is_local(self) -> bool:
        """Whether the target is this machine."""
        return self.kind == LOCAL

    def workers(self, jobs: int) -> int | None:
        """Return the default number of parallel jobs; ``None`` if the cluster decides."""
        return min(_SLURM_TASKS, max(1, jobs)) if self.kind == SLURM else None

    def description(self) -> str:
        """Return a cluster in words."""
        return f"the Ray cluster {self.address}" if self.kind == RAY else "Slurm"


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters of ``--slurm NAME=VALUE,...``."""
    for part in text.split(","):
        name, equals, value = part.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not (equals and name.isidentifier()):
            raise UserError(
                f"--slurm {text}: expected NAME=VALUE,... such as partition=gpu,time=120"
            )
        yield name, value.strip()
