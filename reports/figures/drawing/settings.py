"""The settings of all figures: fonts, lines and colours of text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import seaborn as sns

INK, PALE = "#333333", "#b8b8b8"

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # for the layout; the report sets its own, narrower font
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
    "text.parse_math": False,  # a name may contain a dollar sign
}


@contextmanager
def figure_settings() -> Iterator[None]:
    """Use these settings, and restore the earlier ones afterwards."""
    settings: dict[Any, Any] = {**sns.axes_style("ticks"), **_SETTINGS}
    with mpl.rc_context(settings):
        yield
