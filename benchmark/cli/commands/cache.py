"""``palimpsest cache``: data that is kept between commands."""

from __future__ import annotations

from palimpsest.benchmark.cli.models import CacheCommand
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.data.cache import DECODED, LIMIT, clear, limit, uses
from palimpsest.reports.wording.words import several


def show_cache(options: CacheCommand) -> None:
    """Print what is in the cache, or remove it.

    Raises:
        UserError: A file cannot be removed, or the limit is no number.
    """
    most, found = limit(), uses()
    if options.clear:
        clear()
    for use in found:
        of = f", of {most / 1e9:g} at most ({LIMIT})" if use.folder.name == DECODED else ""
        gone = "removed " if options.clear else ""
        files, size = several(use.files, "file"), use.size / 1e9
        say(f"{use.folder}: {gone}{files}, {size:.3f} GB{of}")
