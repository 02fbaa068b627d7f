"""Where runs are carried out, as the user asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from palimpsest.benchmark.errors import UserError, nearest

LOCAL, RAY, SLURM = "local", "ray", "slurm"
_PACKAGES = {RAY: "ray", SLURM: "submitit"}

_SLURM_TASKS = 32
"""Tasks of an array, unless the user says how many."""


@dataclass(frozen=True)
class Place:
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
        cls, kind: str, address: str | None = None, slurm: Mapping[str, str] | None = None
    ) -> Place:
        """Return what the user asked for.

        Raises:
            UserError: There is no such executor, or something was given that is for another one.
        """
        if kind not in (LOCAL, RAY, SLURM):
            raise UserError(f"executor {kind!r}: {nearest(kind, (LOCAL, RAY, SLURM))}")
        if address is not None and kind != RAY:
            raise UserError(f"address {address}: only the executor ray has one (--executor ray)")
        if slurm and kind != SLURM:
            raise UserError("slurm parameters: only for the executor slurm (--executor slurm)")
        return cls(kind, "auto" if address is None else address, dict(slurm or {}))

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
        """Whether that is this machine."""
        return self.kind == LOCAL

    def workers(self, jobs: int) -> int | None:
        """How many jobs at a time, if the user does not say; ``None`` if the cluster decides."""
        return min(_SLURM_TASKS, max(1, jobs)) if self.kind == SLURM else None

    def told(self) -> str:
        """Return it in words, for a cluster."""
        return f"the Ray cluster {self.address}" if self.kind == RAY else "Slurm"


HERE = Place()
"""This machine."""


def slurm_parameters(text: str) -> dict[str, str]:
    """Return what ``--slurm NAME=VALUE,...`` says.

    Raises:
        UserError: It is of another form.
    """
    found = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not (equals and name.isidentifier()):
            raise UserError(
                f"--slurm {text}: expected NAME=VALUE,... such as partition=gpu,time=120"
            )
        found[name] = value.strip()
    return found
