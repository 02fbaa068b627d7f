"""What the marks of a figure tell a reader who touches them, noted where they are drawn.

An artist that was noted has a name (``gid``); ``formats/svg.py`` finds it in the picture by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.wording.numbers import apart, spread
from palimpsest.reports.wording.words import several

NAME = "touch-"
"""How the names of noted artists begin; their place in ``noted`` follows."""


@dataclass(frozen=True)
class Mark:
    """Something in a figure that a reader can touch.

    Attributes:
        strategies: What it is about: it fades where another strategy is shown alone.
        told: Lines of text, the first a title. A mark that tells nothing can only fade.
        number: What it shows, whose seeds are drawn as dots; ``None`` where it has no seeds.
    """

    strategies: tuple[str, ...]
    told: tuple[str, ...] = ()
    number: Estimate | None = None


_noted: WeakKeyDictionary[Figure, list[tuple[Mark, ...]]] = WeakKeyDictionary()


def note(mark: Mark, *artists: Artist) -> None:
    """Say what artists are that show one thing together, such as a point and its interval.

    Args:
        mark: What they tell.
        artists: In a figure.
    """
    for artist in artists:
        _name(artist, (mark,))


def note_each(marks: Sequence[Mark], artist: Artist) -> None:
    """Say what each point of a line, or each part of a collection, is.

    Args:
        marks: One per point or part, in their order.
        artist: In a figure.
    """
    _name(artist, tuple(marks))


def note_names(names: Iterable[str], artists: Iterable[Artist], labels: Iterable[str]) -> None:
    """Say which strategies some texts name; they tell the whole of a name that was cut.

    Args:
        names: Of the strategies.
        artists: The texts, in a figure.
        labels: What they say, uncut.
    """
    for name, artist, label in zip(names, artists, labels, strict=True):
        note(Mark((name,), (label,)), artist)


def noted(figure: Figure) -> list[tuple[Mark, ...]]:
    """Return the marks of each noted artist of a figure: one, or one per point or part."""
    return _noted.get(figure, [])


def in_words(
    found: Estimate, write: Callable[[float], str], unit: str = "", what: str = "seed"
) -> tuple[str, ...]:
    """Write a number as lines: mean with interval, and how many seeds or runs it rests on.

    Args:
        found: The number; it has a value.
        write: Writes one of its values.
        unit: Of the values.
        what: What its ``n`` counts.
    """
    value = "" if found.value is None else write(found.value)
    mean = " ".join(filter(None, (value, unit, spread(found, write))))
    remark = apart(found, write)
    return tuple(filter(None, (mean, several(found.n, what), remark)))


def _name(artist: Artist, marks: tuple[Mark, ...]) -> None:
    figure = artist.get_figure()
    if not isinstance(figure, Figure):
        raise ValueError(f"{artist} is in no figure of its own")
    groups = _noted.setdefault(figure, [])
    artist.set_gid(f"{NAME}{len(groups)}")
    groups.append(marks)
