"""What a result may depend on besides its settings; importing this needs no torch."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version


def palimpsest_version() -> str:
    """Return Palimpsest's own version, ``0+unknown`` in a source tree that was never installed."""
    return _version("palimpsest-bench", "0+unknown")


def versions() -> dict[str, str]:
    """Return the versions of this project and of its numerical libraries, and the machine."""
    return {
        "palimpsest": palimpsest_version(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "avalanche": _version("avalanche-lib"),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(distribution: str, unknown: str = "unknown") -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return unknown
