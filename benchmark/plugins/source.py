"""A plugin file: reading it, running it, and finding the line of an error."""

from __future__ import annotations

import ast
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.models.registry import NetworkEntry
from palimpsest.benchmark.plugins.additions import (
    Addition,
    metric_of,
    network_of,
    scenario_of,
    strategy_of,
)
from palimpsest.benchmark.plugins.code import ModuleText, names_bound
from palimpsest.strategies.base.catalogue import methods_in

MODULE_PREFIX = "palimpsest_plugin_"
"""So that a file cannot hide a module of the same name."""

_LISTS: dict[str, Callable[[Any, str], Addition]] = {
    "SCENARIOS": scenario_of,
    "NETWORKS": network_of,
    "METRICS": metric_of,
}


@dataclass(frozen=True)
class PluginSource:
    """A plugin file as it was read: its path and its text."""

    path: str
    text: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            UserError: It cannot be read, or is not a Python file.
        """
        if path.suffix != ".py":
            raise UserError(f"{path}: a plugin is a Python file, NAME.py")
        if not path.is_file():
            what = "is no file" if path.exists() else "does not exist"
            raise UserError(f"{path}: this plugin file {what}")
        try:
            return cls(str(path.resolve()), path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read as text: {error}") from None

    @property
    def as_module(self) -> ModuleText:
        """The file as a module, for hashing."""
        return ModuleText(self.module, self.path, self.text)

    @property
    def module(self) -> str:
        """The name of the module that it becomes."""
        return MODULE_PREFIX + Path(self.path).stem


def additions_of(source: PluginSource) -> list[Addition]:
    """Run a plugin file, and check its strategies and what it lists.

    Raises:
        UserError: With the file and the line.
    """
    module = _run(source)
    strategies = [strategy_of(each, _line_of(source, each.__name__)) for each in methods_in(module)]
    lists = {name: vars(module)[name] for name in _LISTS if name in vars(module)}
    if not lists and not strategies:
        raise UserError(
            f"{source.path}: has nothing to add; expected a class with facts = Facts(...), "
            "SCENARIOS = [...], NETWORKS = [NetworkEntry(...)] or METRICS = [Metric(...)] "
            "(palimpsest new strategy NAME writes an example)"
        )
    listed = [each for name in lists for each in _checked(source, module, name, lists[name])]
    return [*strategies, *listed]


def _checked(
    source: PluginSource, module: ModuleType, variable: str, values: Any
) -> Iterator[Addition]:
    if not isinstance(values, list | tuple):
        raise UserError(f"{_line_of(source, variable)}: {variable} is {values!r}, expected a list")
    for value in values:
        place = _line_of(source, variable, getattr(value, "name", None))
        addition = _LISTS[variable](value, place)
        if isinstance(addition.value, NetworkEntry):
            _check_function(addition.value, module, place)
        yield addition


def _check_function(entry: NetworkEntry, module: ModuleType, place: str) -> None:
    own = entry.module == module.__name__
    if own and not callable(vars(module).get(entry.function_name)):
        raise UserError(f"{place}: the file has no class or function {entry.function_name!r}")


def _run(source: PluginSource) -> ModuleType:
    name = source.module
    earlier = sys.modules.get(name)
    if earlier is not None and earlier.__file__ != source.path:
        raise UserError(
            f"{source.path}: the plugin {earlier.__file__} has the same file name; rename one"
        )
    try:
        code = compile(source.text, source.path, "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f"{source.path}, line {line}" if line else source.path
        raise UserError(f"{place}: not valid Python: {getattr(error, 'msg', error)}") from None
    beside = str(Path(source.path).parent)
    if beside not in sys.path:
        sys.path.append(beside)  # at the end, so that modules there hide no others
    module = ModuleType(name)
    module.__file__ = source.path
    # The text as it was read, for tracebacks and inspect; the file may be edited meanwhile.
    content = source.text.splitlines(keepends=True)
    linecache.cache[source.path] = (len(source.text), None, content, source.path)
    sys.modules[name] = module  # pickle finds the classes there
    try:
        exec(code, vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == source.path]
        place = f"{source.path}, line {lines[-1]}" if lines else source.path
        if isinstance(error, SystemExit):
            raise UserError(
                f"{place}: importing it ends the program (SystemExit: {error}); put what is for "
                'the command line under if __name__ == "__main__"'
            ) from error
        raise UserError(f"{place}: {type(error).__name__}: {error}") from error
    return module


def _line_of(source: PluginSource, variable: str, word: Any = None) -> str:
    """Return the file and the line of a class, or of a word in a list, or else of the list."""
    statements = [each for each in ast.parse(source.text).body if variable in names_bound(each)]
    words = [
        node.lineno
        for node in (ast.walk(statements[-1]) if statements else ())
        if isinstance(node, ast.Constant) and node.value == word and word is not None
    ]
    line = next(iter([*words, *(each.lineno for each in statements[-1:])]), None)
    return f"{source.path}, line {line}" if line else source.path
