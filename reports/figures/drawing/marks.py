"""The text that readers see when they point at a mark of a figure, noted where it is drawn.

A noted artist has a name (``gid``), by which ``formats/svg.py`` finds it in the picture.
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
    """A part of a figure that a reader can point at.

    Attributes:
        strategies: The strategies that it shows: it fades where another one is shown alone.
        told: Lines of text, the first a title. A mark without text can only fade.
        number: The number that it shows, whose seeds become dots; ``None`` where it has no seeds.
    """

    strategies: tuple[str, ...]
    told: tuple[str, ...] = ()
    number: Estimate | None = None


_noted: WeakKeyDictionary[Figure, list[tuple[Mark, ...]]] = WeakKeyDictionary()


def note(mark: Mark, *artists: Artist) -> None:
    """Attach one mark to artists that belong together, such as a point and its interval."""
    for artist in artists:
        _name(artist, (mark,))


def note_each(marks: Sequence[Mark], artist: Artist) -> None:
    """Attach a mark to each point of a line, or to each part of a collection, in their order."""
    _name(artist, tuple(marks))


def note_names(names: Iterable[str], artists: Iterable[Artist], labels: Iterable[str]) -> None:
    """Mark texts that name strategies: pointing at one shows its whole label, which may be cut."""
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
        unit: The unit of the values.
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
