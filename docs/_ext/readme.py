"""``{readme} Heading``: a section of the README, so that nothing is written twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

README = Path(__file__).parents[2] / "README.md"
_FENCED = re.compile(r"^```.*?^```$", flags=re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^(#{1,2}) (.+)$", flags=re.MULTILINE)


def section(text: str, heading: str) -> str:
    """Return what stands under a heading of the first or second level, down to the next one.

    Its own subsections come out one level higher. Links are written out, because their
    definitions stay behind at the end of the text, and those into ``docs/`` lead to the page.

    Args:
        text: Markdown.
        heading: Without its ``#``.

    Raises:
        LookupError: There is no such heading; names those that there are.
    """
    # Comments in code start with a #, too; blanks keep every position what it was.
    prose = _FENCED.sub(lambda found: " " * len(found[0]), text)
    headings = list(_HEADING.finditer(prose))
    for place, found in enumerate(headings):
        if found[2] == heading:
            after = headings[place + 1 :]
            end = after[0].start() if after else len(text)
            return _at_home(text[found.end() : end], text)
    known = ", ".join(repr(found[2]) for found in headings)
    raise LookupError(f"README.md has no section {heading!r}; it has {known}")


def _at_home(part: str, text: str) -> str:
    for name, target in re.findall(r"^\[([^]]+)\]: (\S+)$", text, flags=re.MULTILINE):
        part = re.sub(rf"^\[{re.escape(name)}\]: \S+$", "", part, flags=re.MULTILINE)
        part = part.replace(f"][{name}]", f"]({target})")
        part = re.sub(rf"\[{re.escape(name)}\](?!\()", f"[{name}]({target})", part)
    part = re.sub(r"\]\(docs/", "](", part)
    return re.sub(r"^#(#{2,} )", r"\1", part, flags=re.MULTILINE)


class Readme(SphinxDirective):
    """The section whose heading is the argument."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the section, parsed as a part of this page."""
        self.env.note_dependency(str(README))
        try:
            part = section(README.read_text(encoding="utf-8"), self.arguments[0])
        except LookupError as error:
            raise self.error(str(error)) from None
        return self.parse_text_to_nodes(part, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("readme", Readme)
    return {"parallel_read_safe": True}
