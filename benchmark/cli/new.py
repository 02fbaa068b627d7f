"""``palimpsest new``."""

from __future__ import annotations

import keyword
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from benchmark.cli.output import say
from benchmark.errors import UserError
from benchmark.files import Output, write_files
from benchmark.metrics.metric import NAME
from strategies.registry import STRATEGIES

_NAME, _CLASS = "my_reg", "MyReg"
_FILES = (f"{_NAME}.py", f"test_{_NAME}.py", f"{_NAME}.yaml")


def new_strategy(name: str) -> None:
    """Write a strategy that works at once, its test and a suite, and print what to do next.

    Args:
        name: Its name in suites, and in the names of the files.

    Raises:
        UserError: The name is invalid or taken, a file of that name exists, or one cannot be
            written.
    """
    paths = [Path(file.replace(_NAME, name)) for file in _FILES]
    _check(name)
    class_name = "".join(word.capitalize() for word in name.split("_"))
    outputs = []
    for file, path in zip(_FILES, paths, strict=True):
        text = resources.files("benchmark.templates").joinpath(file).read_text("utf-8")
        text = text.replace(_NAME, name).replace(_CLASS, class_name)
        outputs.append(Output(path, text.encode(), kind=None))
    write_files(outputs)
    strategy, test, suite = paths
    say(f"Written: {strategy}, {test} and {suite}. Next:")
    say(f"  palimpsest check {strategy}")
    needs = "" if find_spec("pytest") else "   # pip install pytest, which is not installed yet"
    say(f"  python -m pytest {test}{needs}")
    say(f"  palimpsest run {suite} --plugin {strategy}")


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
