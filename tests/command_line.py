"""The command line, run in this process."""

import pytest

from palimpsest.benchmark.cli import main


def command(*arguments):
    """The exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code
