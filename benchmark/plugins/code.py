"""The part of the user's code that a class or function uses, and its hash.

Only definitions that are reached by name count, through all modules of the user: comments,
docstrings, formatting and other definitions of a file do not. Where a name may stand for
anything (``exec``, ``globals()``, ``from helper import *``), the whole file counts.
"""

from __future__ import annotations

import ast
import hashlib
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

Root = tuple[str, str]
"""A module and a name in it."""

WHOLE = "*"
"""In place of a name: all of a module."""

_OURS = "palimpsest"
_LISTS = ("SCENARIOS", "NETWORKS", "METRICS")
_REFLECTIVE = frozenset({
    "exec", "eval", "globals", "locals", "vars", "__import__", "import_module", "getmembers",
})  # fmt: skip
_REFLECTIVE_PARTS = frozenset({"import_module", "getmembers", "__dict__", "__subclasses__"})
"""With one of these names and attributes, code may reach what it does not name."""

_NO_CODE = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


@dataclass(frozen=True)
class ModuleText:
    """A module of the user's, as it was read: its full name, its file and its text."""

    name: str
    path: str
    text: str

    @property
    def package(self) -> str:
        """The package that relative imports in it begin at."""
        own = Path(self.path).name == "__init__.py"
        return self.name if own else self.name.rpartition(".")[0]

    @cached_property
    def statements(self) -> list[ast.stmt]:
        """Its statements, without docstrings, facts of strategies and its command line part."""
        try:
            tree = ast.parse(self.text)
        except (SyntaxError, ValueError):
            return [ast.Expr(ast.Constant(self.text))]  # nothing of it is known
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                kept = [each for each in body if not _is_text(each) and not _is_facts(each)]
                node.body = kept  # type: ignore[attr-defined]
        return [each for each in tree.body if not _is_program(each)]

    @cached_property
    def bound(self) -> Mapping[str, list[ast.stmt]]:
        """The statements that give a name its meaning."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.statements:
            for name in set(names_bound(statement)):
                found.setdefault(name, []).append(statement)
        return found


def module_text(name: str) -> ModuleText | None:
    """Return a module of the user's; ``None`` for those of Python, of libraries and of Palimpsest.

    Nothing is imported but the packages that it is in.
    """
    if name.partition(".")[0] == _OURS:
        return None
    loaded = sys.modules.get(name)
    place = getattr(loaded, "__file__", None)
    if loaded is None:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        place = spec.origin if spec is not None and spec.has_location else None
    if not place or _is_of_library(Path(place)):
        return None
    try:
        content = Path(place).read_bytes()
    except OSError:
        return None
    text = content.decode() if place.endswith(".py") else hashlib.sha256(content).hexdigest()
    return ModuleText(name, place, text)


def _is_of_library(path: Path) -> bool:
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    paths = (*(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")), *_site())
    return any(path.is_relative_to(folder) for folder in paths if folder)


def _site() -> list[str]:
    return [*site.getsitepackages(), site.getusersitepackages()]


class UserCode:
    """The user's modules that some code may reach, each read once; ``texts`` are known already."""

    def __init__(self, texts: Iterable[ModuleText] = ()) -> None:
        self._texts: dict[str, ModuleText | None] = {each.name: each for each in texts}

    def text(self, name: str) -> ModuleText | None:
        """Return a module of the user's by its name; ``None`` if it is none."""
        if name not in self._texts:
            self._texts[name] = module_text(name)
        return self._texts[name]

    def reached(self, roots: Iterable[Root]) -> list[ModuleText]:
        """Return the modules that classes or functions reach."""
        return _Walk(self, roots).modules

    def digest(self, roots: Iterable[Root], told: str = "") -> str:
        """Hash what classes or functions use."""
        total = hashlib.sha256(told.encode())
        for part in _Walk(self, roots).parts():
            total.update(part.encode() + b"\0")
        return total.hexdigest()[:16]


class _Walk:
    """Everything reached from some names: statements of modules, and names of libraries."""

    def __init__(self, code: UserCode, roots: Iterable[Root]) -> None:
        self._code = code
        self._used: dict[str, set[int]] = {}
        self._foreign: set[str] = set()
        self._whole: set[str] = set()
        self._done: set[Root] = set()
        self._todo = list(roots)
        self._first = [module for module, _ in self._todo]
        while self._todo:
            self._follow(*self._todo.pop())

    @property
    def modules(self) -> list[ModuleText]:
        return [text for name in sorted(self._used) if (text := self._code.text(name)) is not None]

    def parts(self) -> Iterator[str]:
        yield from sorted(self._foreign)
        # What a plugin's own file is called, and where it is, decides nothing.
        for text in sorted(
            self.modules, key=lambda each: (each.name not in self._first, each.name)
        ):
            yield "" if text.name in self._first else text.name
            used = self._used[text.name]
            yield from (_dump(each) for each in text.statements if id(each) in used)

    def _follow(self, module: str, name: str) -> None:
        if (module, name) in self._done:
            return
        self._done.add((module, name))
        text = self._code.text(module)
        if text is None:
            self._foreign.add(f"{module}.{name}")
            return
        if module not in self._used:
            self._enter(text)
        if name == WHOLE or (name and name not in text.bound):
            if name != WHOLE and self._code.text(f"{module}.{name}") is not None:
                self._todo.append((f"{module}.{name}", ""))
                return
            for statement in text.statements:
                self._use(text, statement)
            return
        for statement in text.bound.get(name, ()):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._use_import(text, statement, name)
            else:
                self._use(text, statement)

    def _enter(self, text: ModuleText) -> None:
        """Follow what the import of a module does, whatever is used of it then."""
        self._used[text.name] = set()
        package = text.name.rpartition(".")[0]
        if package:
            self._todo.append((package, ""))
        for statement in text.statements:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                for module, name, _ in _imports(text, statement):
                    if self._code.text(module) is not None:
                        self._todo.append((module, ""))
                        if name and self._code.text(f"{module}.{name}") is not None:
                            self._todo.append((f"{module}.{name}", ""))
                if any(alias.name == "*" for alias in statement.names):
                    self._use(text, statement)
            elif self._acts(text, statement):
                self._use(text, statement)

    def _acts(self, text: ModuleText, statement: ast.stmt) -> bool:
        """Whether a statement may do more than give names a meaning."""
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            heads: list[ast.expr] = [*statement.decorator_list]
            if isinstance(statement, ast.ClassDef):
                heads += [word.value for word in statement.keywords if word.arg == "metaclass"]
            return any(self._is_own(text, head) for head in heads)
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if {getattr(target, "id", "") for target in targets} & {*_LISTS}:
                return False
            plain = all(isinstance(node, ast.Name | ast.Tuple | ast.List) for node in targets)
            calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
            return not plain or any(self._is_own(text, call) for call in calls)
        return not isinstance(statement, ast.Pass)

    def _is_own(self, text: ModuleText, node: ast.expr) -> bool:
        """Whether what is called may be the user's own."""
        own = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & {*text.bound}
        for name in own:
            for statement in text.bound[name]:
                if not isinstance(statement, ast.Import | ast.ImportFrom):
                    return True
                if any(
                    self._code.text(module) is not None
                    for module, _, bound in _imports(text, statement)
                    if bound == name
                ):
                    return True
        return False

    def _use(self, text: ModuleText, statement: ast.stmt) -> None:
        used = self._used[text.name]
        if id(statement) in used:
            return
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self._use_import(text, statement, None)
            return
        used.add(id(statement))
        chains: set[int] = set()
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._use_import(text, node, None)
            elif isinstance(node, ast.Attribute):
                self._use_chain(text, node, chains)
            elif isinstance(node, ast.Name) and id(node) not in chains:
                self._use_name(text, node.id, [])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._use_name(text, node.value, [])  # a name in quotation marks
            elif isinstance(node, ast.Call):
                self._use_quoted(node)
            if _is_reflective(node):
                self._todo.append((text.name, WHOLE))

    def _use_quoted(self, node: ast.Call) -> None:
        """Follow a module that ``import_module("name")`` names."""
        called = getattr(node.func, "id", getattr(node.func, "attr", ""))
        name = getattr(node.args[0], "value", None) if node.args else None
        if called in ("import_module", "__import__") and isinstance(name, str):
            self._todo.append((name, WHOLE))

    def _use_chain(self, text: ModuleText, node: ast.Attribute, chains: set[int]) -> None:
        names: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            names.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and id(inner) not in chains:
            chains.add(id(inner))  # the longest chain is the outermost and comes first
            self._use_name(text, inner.id, names)

    def _use_name(self, text: ModuleText, name: str, rest: list[str]) -> None:
        for statement in text.bound.get(name, ()):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._use_import(text, statement, name, rest)
            else:
                self._todo.append((text.name, name))

    def _use_import(
        self,
        text: ModuleText,
        statement: ast.Import | ast.ImportFrom,
        wanted: str | None,
        rest: Iterable[str] = (),
    ) -> None:
        """Follow an imported name into its module; all names where none is wanted."""
        after = [*rest]
        for module, name, bound in _imports(text, statement):
            if wanted is not None and bound != wanted:
                continue
            found, path = module, [*([name] if name else []), *after]
            if name == "" and bound == module.partition(".")[0] != module:
                found = bound  # import a.b binds a
            while path and self._code.text(f"{found}.{path[0]}") is not None:
                found, path = f"{found}.{path[0]}", path[1:]
            if self._code.text(found) is None:
                self._foreign.add(f"{bound} = {module}.{name}")
                if self._code.text(module) is not None:
                    self._todo.append((module, WHOLE))
            else:
                self._todo.append((found, path[0] if path else WHOLE))


def _imports(
    text: ModuleText, statement: ast.Import | ast.ImportFrom
) -> Iterator[tuple[str, str, str]]:
    """The module, the name in it (empty for the module itself) and the name that is bound."""
    for alias in statement.names:
        if isinstance(statement, ast.Import):
            yield alias.name, "", alias.asname or alias.name.partition(".")[0]
            continue
        base = statement.module or ""
        if statement.level:
            up = text.package.split(".")[: len(text.package.split(".")) - statement.level + 1]
            base = ".".join([*up, *([base] if base else [])])
        yield base, alias.name, alias.asname or alias.name


def names_bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement gives a meaning."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _is_reflective(node: ast.AST) -> bool:
    """Whether code may reach what it does not name."""
    return (
        (isinstance(node, ast.Attribute) and node.attr in _REFLECTIVE_PARTS)
        or (isinstance(node, ast.Name) and node.id in _REFLECTIVE)
        or (isinstance(node, ast.FunctionDef) and node.name == "__init_subclass__")
    )


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_facts(statement: ast.stmt) -> bool:
    """Whether it is ``facts = Facts(...)``, which others read and no training does."""
    return isinstance(statement, ast.Assign) and ast.unparse(statement).startswith("facts = Facts(")


def _is_program(statement: ast.stmt) -> bool:
    """Whether it is ``if __name__ == "__main__"``, which no import runs."""
    test = statement.test if isinstance(statement, ast.If) else None
    return (
        isinstance(test, ast.Compare)
        and getattr(test.left, "id", "") == "__name__"
        and getattr(test.comparators[0], "value", "") == "__main__"
    )


def _dump(node: object) -> str:
    """A syntax tree as text: the same in all versions of Python, without places."""
    if isinstance(node, ast.Constant):
        return f"{type(node.value).__name__} {node.value!r}"
    if isinstance(node, ast.AST):
        fields = (
            f"{name}={_dump(value)}"
            for name, value in ast.iter_fields(node)
            if name not in _NO_CODE and value is not None and value != []
        )
        return f"{type(node).__name__}({', '.join(fields)})"
    if isinstance(node, list):
        return f"[{', '.join(map(_dump, node))}]"
    return repr(node)
