"""How many 95 % intervals a page prints, for use in the page itself."""

from __future__ import annotations

import re

_SPACE = "\N{NO-BREAK SPACE}"
_PRINTED = re.compile(rf"{_SPACE}\[[^\[\]\s]+,{_SPACE}[^\[\]\s]+\]")
"""An interval as ``markdown.unbroken`` writes it; nobody types these spaces by hand."""

_PLACE = "\ue000{}\ue001"  # private-use characters, which no text contains
_PLACES = re.compile("\ue000([^\ue001]*)\ue001")


class Intervals:
    """The function ``intervals`` of a template: counts the 95 % intervals that the page prints.

    It counts those in brackets in text and tables, repeated ones included; not single seeds in
    parentheses, ends that a template prints separately (``.low``), or intervals in figures.
    """

    def __call__(self, share: float = 1.0) -> str:
        """Return a placeholder for the count, which is known when the whole page is finished.

        Args:
            share: A factor, after which the count is rounded: ``intervals(0.05)`` is how many
                intervals miss the true value, if each does so in one of twenty cases.
        """
        return _PLACE.format(float(share))

    def fill_in(self, page: str) -> str:
        """Return a finished page with the placeholders replaced by the count."""
        count = len(_PRINTED.findall(page))
        return _PLACES.sub(lambda place: f"{round(count * float(place[1])):,}", page)
