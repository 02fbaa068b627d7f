"""From a store to tables, figures and one HTML file. Never imports torch or Avalanche.

In Python::

    from palimpsest.reports import plot

    plot("frontier", open_store("palimpsest.db"))  # a matplotlib figure
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palimpsest.reports.notebook import plot

__all__ = ["plot"]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name == "plot":  # loaded on first use: matplotlib is slow to import
        from palimpsest.reports.notebook import plot

        return plot
    raise AttributeError(f"module 'palimpsest.reports' has no attribute {name!r}")
