"""How all figures are set: fonts, lines and ink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import seaborn as sns

INK, PALE = "#333333", "#b8b8b8"

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # measures the layout; the report sets its own, narrower font
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.edgecolor": "#777777",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar sign
}


@contextmanager
def figure_settings() -> Iterator[None]:
    """Draw with these settings, and leave nothing of them behind."""
    settings: dict[Any, Any] = {**sns.axes_style("ticks"), **_SETTINGS}
    with mpl.rc_context(settings):
        yield
