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
    import click

    from benchmark.cli.app import app
    from benchmark.errors import UserError

    try:
        code = app(args=arguments, prog_name="palimpsest", standalone_mode=False)
    except UserError as error:
        print(f"palimpsest: {error}", file=sys.stderr)
        code = 2
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("palimpsest: interrupted; what was finished is in the store", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader of our output has left
        sys.stderr.close()
        code = 0
    sys.exit(code or 0)
