"""The harness: from a suite file to finished runs in a store."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "__version__":  # looked up when asked for: importlib.metadata is slow to import
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("palimpsest-bench")
        except PackageNotFoundError:  # imported from a source tree that was never installed
            return "0+unknown"
    raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
