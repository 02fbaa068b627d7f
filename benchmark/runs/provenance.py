"""The versions and the machine that a result may depend on. Importing this needs no torch."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_ARM = {"CPU implementer": "implementer", "CPU part": "part", "CPU variant": "variant"}
"""Parts of the name of an ARM processor."""

_VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}
"""Instruction sets with special kernels in torch; the first available one is used."""


def palimpsest_version() -> str:
    """Return Palimpsest's own version, ``0+unknown`` in a source tree that was never installed."""
    return _version("palimpsest-bench", "0+unknown")


def versions() -> dict[str, str]:
    """Return the versions of this project and of its numerical libraries, and the machine.

    They are stored with a run and are not part of its key.
    """
    return {
        "palimpsest": palimpsest_version(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "avalanche": _version("avalanche-lib"),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
    }


@cache
def code_digest() -> str:
    """Return a hash of the code that trains, to compare machines and checkpoints."""
    total = hashlib.sha256()
    for package in ("palimpsest.benchmark", "palimpsest.strategies"):
        found = find_spec(package)
        for place in (found and found.submodule_search_locations) or ():
            for file in sorted(Path(place).rglob("*.py")):
                total.update(str(file.relative_to(place)).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:16]


@cache
def processor() -> str:
    """Return the make and model of the processor, on which rounding depends.

    Returns:
        On Linux the kernel's name for it and the widest vector instructions, since virtual
        machines often hide the model: ``Intel(R) Xeon(R) Processor, AVX-512``. ``unknown`` if the
        system does not say.
    """
    name = ""
    if _CPUINFO.exists():
        name = processor_in(_CPUINFO.read_text("utf-8", "replace"))
    elif platform.system() == "Darwin":
        name = _of_mac()
    return name or platform.processor() or "unknown"


def processor_in(cpuinfo: str) -> str:
    """Return the name of the first processor in ``/proc/cpuinfo``; empty if it has none."""
    first = cpuinfo.partition("\n\n")[0].splitlines()
    facts = {key.strip(): text.strip() for key, _, text in (line.partition(":") for line in first)}
    flags = facts.get("flags", "").split()
    name = facts.get("model name") or ", ".join(
        f"{word} {facts[key]}" for key, word in _ARM.items() if key in facts
    )
    vectors = next((word for flag, word in _VECTORS.items() if flag in flags), "")
    return ", ".join(filter(None, (name, vectors)))


def _of_mac() -> str:
    import subprocess

    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _version(distribution: str, unknown: str = "unknown") -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return unknown
