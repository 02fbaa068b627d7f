"""Compares methods against forgetting in networks whose models share parameters.

In Python::

    from palimpsest import load_suite, open_store, run_suite

    results = run_suite(load_suite("quick", seeds=3), store="quick.db")
    results.frame()  # a pandas DataFrame

Names are imported on first use, so ``import palimpsest`` itself is fast.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palimpsest.benchmark.errors import UserError
    from palimpsest.benchmark.orchestration.loop import Progress, run_suite
    from palimpsest.benchmark.results.results import Results, open_store
    from palimpsest.benchmark.suites.loading import load_suite

    __version__: str

__all__ = [
    "Progress",
    "Results",
    "UserError",
    "__version__",
    "load_suite",
    "open_store",
    "run_suite",
]

_ROOMS = ("benchmark", "configs", "reports", "strategies")

_PLACES = {
    "Progress": "orchestration.loop",
    "Results": "results.results",
    "UserError": "errors",
    "load_suite": "suites.loading",
    "open_store": "results.results",
    "run_suite": "orchestration.loop",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _ROOMS:
        return import_module(f"palimpsest.{name}")
    if name in _PLACES:
        return getattr(import_module(f"palimpsest.benchmark.{_PLACES[name]}"), name)
    if name == "__version__":  # looked up on demand: importlib.metadata is slow to import
        from palimpsest.benchmark.runs.provenance import palimpsest_version

        return palimpsest_version()
    raise AttributeError(f"module 'palimpsest' has no attribute {name!r}")
