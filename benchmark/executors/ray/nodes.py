"""The nodes of a Ray cluster, and their room for runs."""

from __future__ import annotations

import socket
import time
from typing import Any, NoReturn

import ray

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.suites.resources import Resources


class Nodes:
    """The nodes of the cluster to which this process is connected."""

    def __init__(self) -> None:
        self._nodes: list[dict[str, Any]] = []
        self._seen = 0.0
        self.look(0.0)
        here = ray.get_runtime_context().get_node_id()
        (self._socket,) = (n["RayletSocketName"] for n in self._nodes if n["NodeID"] == here)

    def look(self, seconds: float) -> bool:
        """Update the nodes if the last update is older than this; return whether it was."""
        now = time.monotonic()
        if now < self._seen + seconds:
            return False
        self._seen = now
        self._nodes = [node for node in ray.nodes() if node["Alive"]]
        return True

    def answers_here(self) -> bool:
        """Return whether Ray still answers on this machine."""
        with socket.socket(socket.AF_UNIX) as calling:
            try:
                calling.connect(self._socket)
            except BlockingIOError:  # it is busy
                return True
            except OSError:
                return False
        return True

    def alive(self) -> list[str]:
        """Return the ids of the current nodes."""
        self.look(0.0)
        return [node["NodeID"] for node in self._nodes]

    def room(self, needs: Resources, device: str) -> int:
        """Return how many parallel runs fit on all nodes."""
        wanted = _wanted(needs, device)
        return sum(
            min(int(node["Resources"].get(name, 0) / amount + 1e-9) for name, amount in wanted)
            for node in self._nodes
        )

    def refuse(self, needs: Resources, device: str) -> NoReturn:
        """Report that no node has enough resources for a run.

        Raises:
            UserError: Always.
        """
        wanted = _wanted(needs, device)
        most = ", ".join(
            f"{max((node['Resources'].get(name, 0) for node in self._nodes), default=0):.12g} "
            f"{'bytes of memory' if name == 'memory' else name}"
            for name, _ in wanted
        )
        raise UserError(
            f"no node of the Ray cluster has what a run needs: {needs.told(device)} (resources of "
            f"the suite); the most that any of {len(self._nodes)} has: {most}. Change the suite's "
            "resources, or add such a node"
        )


def _wanted(needs: Resources, device: str) -> list[tuple[str, float]]:
    wanted = [("CPU", needs.cpus), ("GPU", needs.gpus_on(device)), ("memory", needs.memory or 0)]
    return [(name, amount) for name, amount in wanted if amount]
