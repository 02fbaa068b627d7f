"""``palimpsest page``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from reports.merge import merge, read_stores


@dataclass(frozen=True)
class PageOptions:
    """The options of ``palimpsest page``, as the user gave them."""

    template: Path
    stores: Sequence[Path]
    output: Path


def make_page(options: PageOptions) -> None:
    """Fill in a template from stores, write the page and its figures, and print where.

    The figures lie in a folder of the page's name beside it. They are written before the page,
    each whole or not at all; files there that the page does not name are left.

    Args:
        options: As the user gave them.

    Raises:
        UserError: A store is missing or named twice, the template asks for what is not there, or
            something cannot be written.
    """
    from reports.files import write_whole
    from reports.page.template import write_page

    output = options.output
    if output.is_dir():
        raise UserError(f"--output {output}: this is a folder; name a Markdown file")
    if not output.suffix:
        raise UserError(f"--output {output}: name a Markdown file, such as {output}.md")
    merged = merge(read_stores(options.stores))
    text, album = write_page(options.template, merged.records, output.stem)
    folder = output.with_suffix("")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        files = album.files()
        if files:
            folder.mkdir(exist_ok=True)
        for name, content in files.items():
            write_whole(folder / name, content)
        write_whole(output, text.encode())
    except OSError as error:
        raise UserError(
            f"--output {output}: cannot be written ({error.strerror}); name another file"
        ) from error
    print(output.resolve())
