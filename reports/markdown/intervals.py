"""How many 95 % intervals a page prints, said in the page itself."""

from __future__ import annotations

import re

_SPACE = "\N{NO-BREAK SPACE}"
_PRINTED = re.compile(rf"{_SPACE}\[[^\[\]\s]+,{_SPACE}[^\[\]\s]+\]")
"""An interval as ``markdown.unbroken`` writes it; nobody types these spaces."""

_PLACE = "\ue000{}\ue001"  # of characters that no text has
_PLACES = re.compile("\ue000([^\ue001]*)\ue001")


class Intervals:
    """The function ``intervals`` of a template.

    It counts what stands on the finished page: every number with its interval in brackets, in text
    and tables, as often as it stands there. Single seeds in parentheses, ends that a template
    prints by themselves (``.low``) and what figures draw do not count.
    """

    def __call__(self, share: float = 1.0) -> str:
        """Return a place that will hold the count of the whole page, wherever it stands.

        Args:
            share: Of the count: ``intervals(0.05)`` says how many of them leave out the truth, if
                each does so in one of twenty cases. Rounded.
        """
        return _PLACE.format(float(share))

    def fill_in(self, page: str) -> str:
        """Return a finished page with the count in its places."""
        count = len(_PRINTED.findall(page))
        return _PLACES.sub(lambda place: f"{round(count * float(place[1])):,}", page)
