"""The start of the ``palimpsest`` command, under a name that nothing else has.

Palimpsest's packages have common names. Where a folder of the user's or another distribution's
package is imported in place of one of them, this says so, and what to do. It needs nothing but
Python, and takes no time.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTION = "palimpsest-bench"

PACKAGES = ("benchmark", "strategies", "reports", "configs")

_MARK = "# Part of the distribution palimpsest-bench."
"""Stands in the ``__init__.py`` of each package, so that another's file in its place is seen."""

_FOLDER = Path(__file__).resolve().parent
_ADVICE = f"install {DISTRIBUTION} into a virtual environment of its own"


def check_import_names() -> None:
    """Refuse to go on where what would be imported is not Palimpsest's.

    Raises:
        ImportError: Says what is imported instead, where it is, and what to do.
    """
    for name in PACKAGES:
        problem = _problem(name)
        if problem:
            raise ImportError(problem, name=name)


def main() -> None:
    """Run the ``palimpsest`` command, if it is Palimpsest's."""
    try:
        check_import_names()
    except ImportError as error:
        print(f"palimpsest: {error}", file=sys.stderr)
        sys.exit(2)
    from palimpsest.benchmark.cli import main as command

    command()


def _problem(name: str) -> str | None:
    """What is wrong with a package in a sentence, or ``None``."""
    spec = _spec(name)
    if spec is None or spec.origin is None:  # not found, or a folder without __init__.py
        return (
            f"Palimpsest's package {name!r} is not in {_FOLDER} any more; install {DISTRIBUTION} "
            "again"
        )
    found = Path(spec.origin).resolve()
    expected = _FOLDER / name / "__init__.py"
    if found == expected and _MARK in expected.read_text("utf-8"):
        return None
    owner = _owner(name, found)
    if owner:
        return (
            f"{name!r} is {found} here, which is of the distribution {owner!r} and not "
            f"Palimpsest's; {_ADVICE}"
        )
    if found == expected:
        return f"{found} is not Palimpsest's file any more; {_ADVICE}"
    what = found.parent if found.name == "__init__.py" else found
    return (
        f"{name!r} is {what} here, which hides Palimpsest's package of that name in {_FOLDER}; "
        "rename it, or work in another folder (and leave it out of PYTHONPATH)"
    )


def _spec(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except ValueError:  # a module that was put into sys.modules by hand
        return None


def _owner(name: str, found: Path) -> str | None:
    """The distribution that a file was installed by, if it is another one."""
    from importlib.metadata import distributions

    for distribution in distributions():
        if distribution.name.lower().replace("_", "-") == DISTRIBUTION:
            continue
        for file in distribution.files or ():
            at_the_top = file.parts[:1] == (name,) or str(file) == f"{name}.py"
            if at_the_top and Path(str(distribution.locate_file(file))).resolve() == found:
                return f"{distribution.name} {distribution.version}"
    return None


if __name__ == "__main__":
    main()
