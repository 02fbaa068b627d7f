"""``palimpsest new``."""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.files.writing import Output, write_files
from palimpsest.benchmark.metrics.metric import NAME
from palimpsest.strategies.registry import STRATEGIES

_FIRST = "my_reg"
_SWEEP = "{strengths: [10, 100, 1000], power: 1.0}"
"""The first kind, which has a test and a suite, and its settings there."""


@dataclass(frozen=True)
class _Template:
    """A strategy to begin with.

    Attributes:
        name: Of the strategy and its file.
        sweep: Its settings in the suite.
    """

    name: str
    sweep: str


_TEMPLATES = {
    "penalty": _Template(_FIRST, _SWEEP),
    "mask": _Template("my_mask", "{shares: [0.2, 0.5, 0.9]}"),
    "supermask": _Template("my_supermask", "{densities: [0.1, 0.5], spread: 1.0}"),
    "projection": _Template("my_projection", "{ranks: [3, 10, 30]}"),
    "posterior": _Template("my_posterior", "{betas: [0.1, 1, 10], power: 1.0}"),
    "merge": _Template("my_merge", "{scales: [0.3, 0.6, 1]}"),
}


def new_strategy(name: str, kind: str) -> None:
    """Write a strategy that works at once, its test and a suite, and print what to do next.

    Args:
        name: Its name in suites, and in the names of the files.
        kind: What it is: penalty, mask, supermask, projection, posterior or merge.

    Raises:
        UserError: There is no such kind, the name is invalid or taken, a file of that name exists,
            or one cannot be written.
    """
    if kind not in _TEMPLATES:
        raise UserError(f"--kind {kind}: no such kind of strategy; {nearest(kind, _TEMPLATES)}")
    template = _TEMPLATES[kind]
    paths = [Path(f"{name}.py"), Path(f"test_{name}.py"), Path(f"{name}.yaml")]
    _check(name)
    files = (f"{template.name}.py", f"test_{_FIRST}.py", f"{_FIRST}.yaml")
    outputs = []
    for file, path in zip(files, paths, strict=True):
        text = resources.files("palimpsest.benchmark.templates").joinpath(file).read_text("utf-8")
        text = text.replace(_SWEEP, template.sweep)
        for old in (template.name, _FIRST):
            text = text.replace(old, name).replace(_class_name(old), _class_name(name))
        outputs.append(Output(path, text.encode(), kind=None))
    write_files(outputs)
    strategy, test, suite = paths
    say(f"Written: {strategy}, {test} and {suite}. Next:")
    say(f"  palimpsest check {strategy}")
    needs = "" if find_spec("pytest") else "   # pip install pytest, which is not installed yet"
    say(f"  python -m pytest {test}{needs}")
    say(f"  palimpsest run {suite} --plugin {strategy}")


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
