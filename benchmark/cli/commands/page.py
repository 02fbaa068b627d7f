"""``palimpsest page``."""

from __future__ import annotations

from palimpsest.benchmark.cli.models import PageCommand
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.errors import UserError
from palimpsest.reports.runs.merge import merge, read_stores


def make_page(options: PageCommand) -> None:
    """Fill in a template from stores, write the page and its figures, and print where.

    The figures go into a folder beside the page, named after it; other files there are left alone.

    Raises:
        UserError: A store is missing or named twice, the template asks for something that does not
            exist, or a file cannot be written; nothing is written then.
    """
    from palimpsest.benchmark.files.writing import Output, check_output, write_files
    from palimpsest.reports.markdown.template import FIGURE, PAGE, write_page

    output, inputs = options.output, [options.template, *options.stores]
    check_output(output, PAGE, inputs)  # before the work, not only after it
    if not output.suffix:
        raise UserError(f"--output {output}: name a Markdown file, such as {output}.md")
    merged = merge(read_stores(options.stores))
    text, album = write_page(options.template, merged.records, output.stem)
    folder = output.with_suffix("")
    figures = [Output(folder / name, data, FIGURE) for name, data in album.files().items()]
    write_files([*figures, Output(output, text.encode(), PAGE)], inputs)
    say(output.resolve())
