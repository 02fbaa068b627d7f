"""What a result may depend on besides its settings; importing this needs no torch."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import benchmark


def versions() -> dict[str, str]:
    """Return the versions of this project and of its numerical libraries, and the machine."""
    return {
        "palimpsest": benchmark.__version__,
        "python": platform.python_version(),
        "torch": _version("torch"),
        "avalanche": _version("avalanche-lib"),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
