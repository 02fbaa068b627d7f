"""Reading a suite file, keeping the line of every key for the messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import UserError, nearest

_Path = tuple[str | int, ...]


@dataclass
class Source:
    """The content of a suite file before it is checked.

    Attributes:
        name: The file, as messages name it.
        content: Plain data.
        lines: The line, counted from 1, of every path in it.
        assigned: Paths that came from the command line.
    """

    name: str
    content: dict[str, Any]
    lines: dict[_Path, int] = field(default_factory=dict)
    assigned: set[_Path] = field(default_factory=set)

    def error(self, path: _Path, message: str) -> UserError:
        """Return an error that says where in the file, or in which option, something is wrong."""
        dotted = ".".join(str(part) for part in path)
        place = self.name
        for end in range(len(path), -1, -1):
            if path[:end] in self.assigned:
                place = "--set"
                break
            if path[:end] in self.lines:
                place = f"{self.name}, line {self.lines[path[:end]]}"
                break
        return UserError(f"{place}: {dotted}: {message}" if dotted else f"{place}: {message}")

    def assign(self, assignment: str) -> None:
        """Set one value by its dotted path, as ``--set PATH=VALUE`` does.

        Args:
            assignment: Path, equals sign, value in YAML.

        Raises:
            UserError: No equals sign, no such scenario or strategy, or no valid YAML value.
        """
        expected = "PATH=VALUE, for example scenarios.cold_start.width=100"
        dotted, value = parse_assignment(assignment, expected)
        path = tuple(dotted.split("."))
        self._check_label(path, assignment)
        inside: Any = self.content
        for part in path[:-1]:
            if inside.get(part) is None:
                inside[part] = {}
            inside = inside[part]
            if not isinstance(inside, dict):
                raise UserError(f"--set {assignment}: {part!r} has no settings inside it")
        inside[path[-1]] = value
        self.assigned.add(path)

    def _check_label(self, path: tuple[str, ...], assignment: str) -> None:
        """A mistyped scenario must not become a new one."""
        group = self.content.get(path[0])
        if path[0] in {"scenarios", "strategies"} and isinstance(group, dict):
            label = path[1] if len(path) > 1 else ""
            if label not in group:
                hint = nearest(label, group)
                raise UserError(f"--set {assignment}: no {label!r} in {path[0]}; {hint}")


def parse_assignment(assignment: str, expected: str) -> tuple[str, Any]:
    """Return what a ``--set`` option assigns to, and the value.

    Args:
        assignment: Name, equals sign, value in YAML.
        expected: What a mistaken user is told to write.

    Raises:
        UserError: No name or equals sign, or no valid YAML value.
    """
    name, equals, text = assignment.partition("=")
    if not equals or not name:
        raise UserError(f"--set {assignment}: expected {expected}")
    try:
        return name, yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise UserError(f"--set {assignment}: {text!r} is not a YAML value") from None


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


def read_source(suite: str) -> Source:
    """Read a suite file, or a suite that comes with Palimpsest.

    Args:
        suite: A path, or a name of ``shipped_suites``.

    Raises:
        UserError: There is no such suite, or it is no YAML mapping, or a key stands in it twice.
    """
    path = Path(suite)
    if path.is_file():
        try:
            return _parse(suite, path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{suite}: cannot be read as text: {error}") from None
    shipped = shipped_suites()
    if suite in shipped:
        return _parse(f"{suite} (shipped suite)", shipped[suite])
    if path.suffix in {".yaml", ".yml"} or path.is_dir():
        raise UserError(f"{suite}: there is no such suite file")
    raise UserError(f"{suite}: neither a file nor a shipped suite; {nearest(suite, shipped)}")


def _parse(name: str, text: str) -> Source:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date in month 13; too deep
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise UserError(f"{name}{line}: not valid YAML: {problem}") from None
    if not isinstance(content, dict):
        raise UserError(
            f"{name}: expected a mapping with the keys suite, scenarios and strategies, got "
            f"{'an empty file' if content is None else type(content).__name__}"
        )
    source = Source(name, content)
    _note_lines(source, node, ())
    return source


def _note_lines(source: Source, node: Any, path: _Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, key.value)
            if inner in source.lines:
                raise UserError(
                    f"{source.name}, line {key.start_mark.line + 1}: the key {key.value!r} stands "
                    f"here twice (first in line {source.lines[inner]}); remove one"
                )
            source.lines[inner] = key.start_mark.line + 1
            _note_lines(source, value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            source.lines[(*path, index)] = value.start_mark.line + 1
            _note_lines(source, value, (*path, index))
