"""The ``palimpsest`` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    Exit codes: 0 all well, 1 some run failed, 2 the user's mistake, 130 interrupted.

    Args:
        arguments: In place of ``sys.argv[1:]``.
    """
    from benchmark.cli.app import app
    from benchmark.errors import UserError

    try:
        app(args=arguments, prog_name="palimpsest")
    except UserError as error:
        print(f"palimpsest: {error}", file=sys.stderr)
        sys.exit(2)
