"""What every figure must keep, whatever it shows.

Everything that is drawn lies inside its axes and is not hidden by its like, every text is on the
canvas and on no other text, and a legend's keys are unlike each other and like something that is
drawn. Distances are pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.settings import figure_settings

SLACK = 1.0


def laid_out(plot: Plot) -> Figure:
    """Draw a plot as a report does, as far as places are known."""
    with figure_settings():
        figure = plot.draw()
        figure.draw_without_rendering()
    return figure


def each(figures: Mapping[str, tuple[Plot, Figure]], ending: str) -> Iterator[tuple[Plot, Figure]]:
    """The figures of one sort; there are some."""
    found = [pair for name, pair in figures.items() if name.endswith(ending)]
    assert found
    yield from found


def over_seeds(frame: pd.DataFrame, by: list[str], value: str) -> pd.Series:
    """The mean over all but seeds, then over seeds, in the order of appearance."""
    per_seed = frame.groupby([*by, "seed"], sort=False, observed=True)[value].mean()
    return per_seed.groupby(level=by, sort=False, observed=True).mean()


def check(figure: Figure) -> list[str]:
    """Return what is wrong with a figure, in words; nothing where all is well.

    Args:
        figure: Laid out.
    """
    found = [problem for ax in figure.axes for part in (_outside, _hidden) for problem in part(ax)]
    return [*found, *_words(figure), *_keys(figure)]


def marks(ax: Axes) -> np.ndarray:
    """Where means stand, (n, 2), ordered: markers of one point; not crosses, nor single seeds."""
    means = [line for line in ax.lines if line.get_marker() not in {"", "None", "x", "."}]
    points = [line.get_xydata() for line in means if len(line.get_xdata()) == 1]
    found = ordered(np.concatenate(points)) if points else np.empty((0, 2))
    return found[np.isfinite(found).all(axis=1)]


def bars(ax: Axes) -> np.ndarray:
    """The ends of pale intervals, (2 n, 2), ordered."""
    pale = [line for line in ax.lines if line.get_alpha() == 0.45]
    points = [line.get_xydata() for line in pale if len(line.get_xdata()) == 2]
    return ordered(np.concatenate(points)) if points else np.empty((0, 2))


def alone(ax: Axes) -> np.ndarray:
    """Where single seeds stand in place of an interval, (n, 2), ordered."""
    small = [line for line in ax.lines if line.get_marker() in {"o", "."} and line.get_alpha()]
    points = [line.get_xydata() for line in small]
    return ordered(np.concatenate(points)) if points else np.empty((0, 2))


def ordered(points: np.ndarray) -> np.ndarray:
    """Points sorted by x, then y."""
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    return points[np.lexsort(points.round(9).T[::-1])]


def _outside(ax: Axes) -> Iterator[str]:
    """What is drawn outside its axes: points and ends of lines, and markers that are cut."""
    frame = ax.bbox
    for artist in (*ax.lines, *ax.collections, *ax.patches):
        # A scale of colours may leave out the darkest ones.
        if not artist.get_visible() or (hasattr(ax, "_colorbar") and isinstance(artist, QuadMesh)):
            continue
        points = _places(artist)
        points = points[np.isfinite(points).all(axis=1)]
        size = _size(artist) * ax.figure.dpi / 72 / 2 if artist.get_clip_on() else 0.0
        low = points - size < np.array([frame.x0, frame.y0]) - SLACK
        high = points + size > np.array([frame.x1, frame.y1]) + SLACK
        bad = (low | high).any(axis=1)
        if bad.any():
            where = ax.transData.inverted().transform(points[bad][0])
            limits = [[round(float(end), 3) for end in ends]
                      for ends in (ax.get_xlim(), ax.get_ylim())]  # fmt: skip
            yield (
                f"{_name(ax)}: {type(artist).__name__} has {bad.sum()} of {len(points)} points "
                f"outside, such as {where.round(3).tolist()} of {limits}"
            )


def _name(ax: Axes) -> str:
    return ax.get_title(loc="left") or ax.get_xlabel() or "axes"


def _places(artist: Artist) -> np.ndarray:
    """All points of an artist on the canvas, (n, 2)."""
    if isinstance(artist, Line2D):
        return artist.get_transform().transform(np.asarray(artist.get_xydata(), dtype=float))
    if isinstance(artist, QuadMesh):
        return artist.get_transform().transform(artist.get_coordinates().reshape(-1, 2))
    if isinstance(artist, PathCollection):
        offsets = np.ma.filled(artist.get_offsets(), np.nan)
        return artist.get_offset_transform().transform(offsets)
    if isinstance(artist, Collection):
        parts = [path.vertices for path in artist.get_paths() if len(path.vertices)]
        points = np.concatenate(parts) if parts else np.empty((0, 2))
        return artist.get_transform().transform(points)
    # A closed path ends with a point that is drawn nowhere.
    path = artist.get_path()
    return artist.get_transform().transform(path.to_polygons(closed_only=False)[0])


def _size(artist: Artist) -> float:
    """A marker's diameter in points, 0 without one."""
    if isinstance(artist, Line2D) and artist.get_marker() not in {"", "None", None}:
        return float(artist.get_markersize())
    if isinstance(artist, PathCollection):
        return float(np.sqrt(artist.get_sizes().max(initial=0)))
    return 0.0


def _hidden(ax: Axes) -> Iterator[str]:
    """Lines and markers that lie under others of the same size; pale intervals may."""
    seen: set[tuple[object, ...]] = set()
    drawn: list[tuple[np.ndarray, float]] = []
    for line in ax.lines:
        if line.get_alpha() in {None, 1}:
            joined = len(line.get_xdata()) > 1 and line.get_linestyle() != "None"
            wide = line.get_linewidth() if joined else line.get_markersize()
            drawn.append((_places(line), float(wide)))
    for collection in ax.collections:
        if isinstance(collection, LineCollection) and collection.get_alpha() in {None, 1}:
            widths = np.resize(collection.get_linewidths(), len(collection.get_segments()))
            spots = [collection.get_transform().transform(x) for x in collection.get_segments()]
            drawn += zip(spots, widths.tolist(), strict=True)
    for points, wide in drawn:
        key = (points.round(4).tobytes(), round(wide, 3))
        if len(points) and key in seen:
            where = ax.transData.inverted().transform(points[:2])
            yield f"{_name(ax)}: something is hidden at {where.round(3).tolist()}"
        seen.add(key)


def _words(figure: Figure) -> Iterator[str]:
    """Texts that leave the canvas, or lie on each other."""
    boxes = [(text.get_text(), _box(text)) for text in _texts(figure)]
    canvas = figure.bbox
    for text, box in boxes:
        if (
            box.x0 < canvas.x0 - SLACK
            or box.y0 < canvas.y0 - SLACK
            or box.x1 > canvas.x1 + SLACK
            or box.y1 > canvas.y1 + SLACK
        ):
            yield f"text {text!r} leaves the canvas: {box.extents.round().tolist()}"
    for (one, first), (other, second) in combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        if across > SLACK and down > SLACK:
            yield f"texts {one!r} and {other!r} overlap by {across:.0f} x {down:.0f}"


def _box(text: Text) -> Bbox:
    """The place of the words; of an annotation without what it points to."""
    return Text.get_window_extent(text)


def _texts(figure: Figure) -> list[Text]:
    """The texts that are drawn: of axes that are switched off no ticks and labels."""
    hidden: set[Text] = set()
    drawn: list[Text] = []
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            hidden |= set(axis.findobj(Text))
            if ax.axison and ax.get_visible() and axis.get_visible():
                low, high = sorted(axis.get_view_interval())
                room = 1e-9 * (high - low)
                for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                    if low - room <= tick.get_loc() <= high + room:
                        drawn += [tick.label1, tick.label2]
                drawn += [axis.label, axis.offsetText]
    others = [text for text in figure.findobj(Text) if text not in hidden]
    return [text for text in (*others, *drawn) if text.get_visible() and text.get_text().strip()]


def _keys(figure: Figure) -> Iterator[str]:
    """Keys of a legend that cannot be told apart, or stand for nothing."""
    colors = {color for ax in figure.axes for color in drawn_colors(ax)}
    shapes = {line.get_marker() for ax in figure.axes for line in ax.lines}
    for legend in figure.findobj(Legend):
        looks = [_look(handle) for handle in legend.legend_handles]
        labels = [text.get_text() for text in legend.get_texts()]
        if len(set(labels)) < len(labels):
            yield f"the legend names something twice: {labels}"
        if len(set(looks)) < len(looks):
            yield f"keys of the legend are alike: {list(zip(labels, looks, strict=True))}"
        for label, look in zip(labels, looks, strict=True):
            if look[0] not in colors and look[2] not in shapes:
                yield f"{label!r} of the legend is not drawn: {look}"


def drawn_colors(ax: Axes) -> set[str]:
    """The colours of lines and markers."""
    lines = {to_hex(c) for x in ax.lines for c in (x.get_color(), x.get_markeredgecolor())}
    lines |= {to_hex(color) for c in ax.collections for color in c.get_edgecolor()}
    return lines | {to_hex(color) for c in ax.collections for color in c.get_facecolor()}


def _look(handle: Line2D) -> tuple[str, str, str, str]:
    dashes = str(handle._unscaled_dash_pattern)
    shown = handle.get_linestyle() not in {"", "None"}
    return (
        to_hex(handle.get_color()) if shown else to_hex(handle.get_markeredgecolor()),
        dashes if shown else "",
        str(handle.get_marker()),
        to_hex(handle.get_markerfacecolor()),
    )
