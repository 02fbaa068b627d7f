"""Reads a suite file, and keeps the line of every key for messages."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.files import yaml_text
from palimpsest.benchmark.suites.overrides import Assignment

_Path = tuple[str | int, ...]


@dataclass
class SuiteSource:
    """The content of a suite file before it is checked.

    Attributes:
        name: The file, as messages name it.
        content: Plain data.
        lines: The line, counted from 1, of every path in it.
        assigned: Paths that the user has set, and by what: an option, or an argument.
    """

    name: str
    content: dict[str, Any]
    lines: dict[_Path, int] = field(default_factory=dict)
    assigned: dict[_Path, str] = field(default_factory=dict)

    def error(self, path: _Path, message: str) -> UserError:
        """Return an error with the line in the file, or the option, where something is wrong."""
        dotted = ".".join(str(p) if str(p).isprintable() else repr(p) for p in path)
        place = self.name
        for end in range(len(path), -1, -1):
            if path[:end] in self.assigned:
                place = self.assigned[path[:end]]
                break
            if path[:end] in self.lines:
                place = f"{self.name}, line {self.lines[path[:end]]}"
                break
        return UserError(f"{place}: {dotted}: {message}" if dotted else f"{place}: {message}")

    def names(self, group: str) -> list[str]:
        """Return the names in a group, ``scenarios`` or ``strategies``; none if it is malformed."""
        entries = self.content.get(group)
        return [str(name) for name in entries] if isinstance(entries, dict) else []

    def has(self, label: tuple[str, str] | None) -> bool:
        """Whether a group has a name; true for a malformed group, which is reported later."""
        if label is None or not isinstance(self.content.get(label[0]), dict):
            return True
        return label[1] in self.names(label[0])

    def assign(self, assignment: Assignment) -> None:
        """Set one value by its path, as ``--set PATH=VALUE`` does.

        Raises:
            UserError: Something on the path has no settings inside it.
        """
        inside: Any = self.content
        for part in assignment.path[:-1]:
            if inside.get(part) is None:
                inside[part] = {}
            inside = inside[part]
            if not isinstance(inside, dict):
                raise UserError(f"{assignment}: {part!r} has no settings inside it")
        inside[assignment.path[-1]] = deepcopy(assignment.value)
        self.assigned[assignment.path] = assignment.origin


SUFFIXES = {".yaml", ".yml"}
"""Of suite files."""


def shipped_suites() -> dict[str, str]:
    """Return the text of every suite that comes with Palimpsest, by name (``paper/strength``)."""
    found: dict[str, str] = {}

    def walk(folder: Any, prefix: str) -> None:
        for entry in sorted(folder.iterdir(), key=lambda e: str(e.name)):
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            elif entry.name.endswith(".yaml"):
                found[prefix + entry.name.removesuffix(".yaml")] = entry.read_text("utf-8")

    walk(resources.files("configs"), "")
    return found


def suites_of(names: Sequence[str]) -> list[str]:
    """Return the requested suites, each once; those of a folder sorted by name.

    Args:
        names: Files, shipped suites, and folders of either (``paper``).

    Raises:
        UserError: A folder has no suites in it, or a name is empty.
    """
    found: list[str] = []
    shipped = shipped_suites()
    for name in names:
        if not name:
            raise UserError("a suite name is empty; name a file, a shipped suite or a folder")
        path = Path(name)
        if path.is_file() or name in shipped:
            found.append(name)
            continue
        inside: list[str] = []
        if path.is_dir():
            files = [file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file()]
            inside = sorted(str(file) for file in files if not file.name.startswith("."))
        inside = inside or [suite for suite in shipped if suite.startswith(f"{name.rstrip('/')}/")]
        if path.is_dir() and not inside:
            raise UserError(f"{name}: there are no suites (*.yaml) in this folder")
        found += inside or [name]
    return list(dict.fromkeys(found))


def read_source(suite: str) -> SuiteSource:
    """Read a suite file, or a suite that comes with Palimpsest.

    Raises:
        UserError: There is no such suite, it is not a YAML mapping, or it has a key twice.
    """
    path = Path(suite)
    if path.is_file():
        return _parse(suite, _read(path))
    shipped = shipped_suites()
    if suite in shipped:
        return _parse(f"{suite} (shipped suite)", shipped[suite])
    if path.suffix in SUFFIXES:
        raise UserError(f"{suite}: this suite file does not exist")
    raise UserError(f"{suite}: neither a file nor a shipped suite; {nearest(suite, shipped)}")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(yaml_text.MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > yaml_text.MOST_BYTES:
        raise UserError(
            f"{path}: too large: over {yaml_text.MOST_BYTES:,} bytes; expected a suite file"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: not UTF-8 text: the byte 0x{content[error.start]:02x}; save "
            "the file in that encoding"
        ) from None


def _parse(name: str, text: str) -> SuiteSource:
    try:
        try:
            loader = yaml_text.Loader(text)
            node = loader.get_single_node()
            source = SuiteSource(name, {})
            if node is not None:
                _LineRecorder(source, loader).note(node, ())
            content = None if node is None else loader.construct_document(node)
        except yaml.YAMLError as error:
            raise yaml_text.not_yaml(error, text) from None
    except yaml_text.YAMLTextError as error:
        line = "" if error.line is None else f", line {error.line}"
        raise UserError(f"{name}{line}: not valid YAML: {error.problem}") from None
    if not isinstance(content, dict):
        got = "an empty file" if content is None else type(content).__name__
        raise UserError(
            f"{name}: expected a mapping with the keys suite, scenarios and strategies, got {got}"
        )
    source.content = content
    return source


_MERGE = "tag:yaml.org,2002:merge"


class _LineRecorder:
    """Notes the line of every path in a YAML file, before merge keys (``<<``) are resolved."""

    def __init__(self, source: SuiteSource, loader: yaml_text.Loader) -> None:
        self._source = source
        self._loader = loader

    def note(self, node: Any, path: _Path) -> None:
        """Note the lines inside a node.

        Raises:
            UserError: It has a key twice.
        """
        if isinstance(node, yaml.MappingNode):
            self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._source.lines[(*path, index)] = value.start_mark.line + 1
                self.note(value, (*path, index))

    def _mapping(self, node: yaml.MappingNode, path: _Path) -> None:
        merged = [value for key, value in node.value if key.tag == _MERGE]
        if len(merged) > 1:
            raise UserError(
                f"{self._source.name}, line {merged[1].start_mark.line + 1}: duplicate key '<<'; "
                "write one list, <<: [*a, *b]"
            )
        if merged:
            several = isinstance(merged[0], yaml.SequenceNode)
            for part in reversed(merged[0].value) if several else merged:
                self.note(part, path)  # the first of several wins, and own keys win over all
        own: dict[Any, int] = {}
        for key, value in node.value:
            if key.tag == _MERGE or not isinstance(key, yaml.ScalarNode):
                continue  # the loader reports the latter
            name, line = self._loader.construct_object(key), key.start_mark.line + 1
            if name in own:
                raise UserError(
                    f"{self._source.name}, line {line}: duplicate key {name!r} (first in line "
                    f"{own[name]}); remove one"
                )
            own[name] = self._source.lines[(*path, name)] = line
            self.note(value, (*path, name))
