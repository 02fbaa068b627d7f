"""The ``palimpsest`` command."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

_SURROUNDINGS = {
    errno.EACCES, errno.EDQUOT, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSPC,
    errno.EPERM, errno.EROFS,
}  # fmt: skip
"""What the system says of files that no code can be blamed for."""


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
    except OSError as error:
        if error.errno not in _SURROUNDINGS or error.filename is None:
            raise
        print(f"palimpsest: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
