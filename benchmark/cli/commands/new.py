"""``palimpsest new``."""

from __future__ import annotations

import ast
import json
import keyword
import re
import textwrap
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.files.writing import Output, write_files
from palimpsest.benchmark.metrics.metric import NAME
from palimpsest.strategies.base.catalogue import FOLDER, STRATEGIES
from palimpsest.strategies.base.facts import Facts

_FIRST = "my_reg"
_SWEEP = "{strengths: [10, 100, 1000], power: 1.0}"
"""The strategy that is written if none is named, and its settings in the suite."""

_ITS_OWN = ("name", "summary", "source", "role", "color", "same_with_two")
"""Facts that a copy does not take over."""


def new_strategy(name: str, like: str | None) -> None:
    """Write a strategy that works at once, its test and a suite, and print what to do next.

    It begins as a copy of the strategy ``like``, or else as a penalty with explanations.

    Raises:
        UserError: There is no such strategy, the name is invalid or taken, a file of that name
            exists, or one cannot be written.
    """
    if like is not None and like not in STRATEGIES.shipped:
        raise UserError(f"--like {like}: no such strategy; {nearest(like, STRATEGIES.shipped)}")
    _check(name)
    strategy, test, suite = Path(f"{name}.py"), Path(f"test_{name}.py"), Path(f"{name}.yaml")
    texts = {strategy: _template("my_reg.py"), test: _template("test_my_reg.py")}
    found = None if like is None else STRATEGIES[like]
    for_searches = found and (
        found.facts.searches or found.Settings().facts(found.facts).needs.edges
    )
    if not for_searches:  # no scenario of the suite is one
        texts[suite] = _template("my_reg.yaml")
    if found is not None:
        texts[strategy] = _copy(found, name)
        texts = {path: text.replace(_SWEEP, _sweep(found)) for path, text in texts.items()}
    renamed = {
        path: text.replace(_FIRST, name).replace(_class_name(_FIRST), _class_name(name))
        for path, text in texts.items()
    }
    write_files([Output(path, text.encode(), kind=None) for path, text in renamed.items()])
    written = [str(path) for path in texts]
    say(f"Written: {', '.join(written[:-1])} and {written[-1]}. Next:")
    say(f"  palimpsest check {strategy}")
    needs = "" if find_spec("pytest") else "   # pip install pytest, which is not installed yet"
    say(f"  python -m pytest {test}{needs}")
    if suite in texts:
        say(f"  palimpsest run {suite} --plugin {strategy}")


def _template(file: str) -> str:
    return resources.files("palimpsest.benchmark.templates").joinpath(file).read_text("utf-8")


def _copy(strategy: type[Any], name: str) -> str:
    """Return the file of a strategy with another name, and docstrings and a source of its own."""
    facts: Facts = strategy.facts
    old, new = strategy.__name__, _class_name(name)
    text = (FOLDER / f"{facts.name}.py").read_text("utf-8")
    text = re.sub(rf"\b{old}(?=\b|Settings\b)", new, text)
    text = text.replace(f'="{facts.name}"', f'="{name}"')  # also who has a need
    tree = ast.parse(text)
    (found,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == new)
    (told,) = (n for n in found.body if ast.unparse(n).startswith("facts = "))
    assert isinstance(told, ast.Assign) and isinstance(told.value, ast.Call)
    kept = [
        f"        {ast.get_source_segment(text, word)},"
        for word in told.value.keywords
        if word.arg not in _ITS_OWN
    ]
    declared = [
        f'        name="{name}",',
        f'        summary="my own, which begins as a copy of {facts.name}",',
        '        source="my own",',
        *kept,
    ]
    first = (ast.get_docstring(found) or "").partition("\n\n")[0].splitlines()
    own = f"It begins as a copy of ``palimpsest.strategies.{old}``, which says more."
    documented = [f'"""{first[0]}', *first[1:], "", own, '"""']
    lines = text.splitlines()
    for node, replacement in [
        (told, ["    facts = Facts(", *declared, "    )"]),
        (found.body[0], textwrap.indent("\n".join(documented), "    ").splitlines()),
        (tree.body[0], [f'"""A strategy of my own, which begins as a copy of {facts.name}."""']),
    ]:
        lines[node.lineno - 1 : node.end_lineno] = replacement
    return "\n".join(lines) + "\n"


def _sweep(strategy: type[Any]) -> str:
    """Return the settings in the suite: valid values of the dial around its default."""
    dial, settings = strategy.facts.dial, strategy.Settings
    if dial is None:
        return "{}"
    default = settings.model_fields[dial.name].default
    values = []
    for factor in (0.1, 1, 10):
        value = dial.typed(float(f"{factor * default:g}"))
        try:
            settings.model_validate({dial.name: value})
        except ValidationError:
            continue
        values.append(value)
    return f"{{{dial.plural}: {json.dumps(values)}}}"


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _check(name: str) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UserError(
            f"{name!r} is not a valid strategy name; expected lower-case letters, digits and "
            "underscores, such as my_reg"
        )
    if name in STRATEGIES:
        raise UserError(f"Palimpsest already has a strategy {name!r}; choose another name")
    if find_spec(name) is not None:
        raise UserError(f"{name}.py would hide Python's module {name!r}; choose another name")
