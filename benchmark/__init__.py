# Part of the distribution palimpsest-bench.
"""The harness: from a suite file to finished runs in a store.

In Python::

    from palimpsest import load_suite, open_store, run_suite

    results = run_suite(load_suite("quick", seeds=3), store="quick.db")
    results.frame()  # a pandas DataFrame

Names are imported on first use, so ``import benchmark`` itself is fast.
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

_PLACES = {
    "Progress": "running",
    "Results": "results",
    "UserError": "errors",
    "load_suite": "suite_loading",
    "open_store": "results",
    "run_suite": "running",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        from importlib import import_module

        from palimpsest_bench import check_import_names

        check_import_names()
        return getattr(import_module(f"benchmark.{_PLACES[name]}"), name)
    if name == "__version__":  # looked up on demand: importlib.metadata is slow to import
        from palimpsest.benchmark.runs.provenance import palimpsest_version

        return palimpsest_version()
    raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
