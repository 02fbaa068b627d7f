"""The ``palimpsest`` command."""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Sequence

_SURROUNDINGS = {
    errno.EACCES, errno.EDQUOT, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSPC,
    errno.EPERM, errno.EROFS,
}  # fmt: skip
"""Errors of the file system that are not caused by our code."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Exit codes: 0 success, 1 a run failed, 2 a mistake of the user, 130 interrupted,
    or 128 plus the number of another signal that stopped it.

    Args:
        arguments: In place of ``sys.argv[1:]``.
    """
    from palimpsest.benchmark.cli.app import app
    from palimpsest.benchmark.cli.printing.output import output_restored, tell, tell_remarks
    from palimpsest.benchmark.errors import UserError

    with output_restored(), warnings.catch_warnings():
        tell_remarks()
        try:
            app(args=arguments, prog_name="palimpsest")
        except UserError as error:
            tell(f"palimpsest: {error}")
            sys.exit(2)
        except (ImportError, MemoryError) as error:
            from palimpsest.benchmark.runs.failure import NO_MEMORY, lacks_memory

            if not lacks_memory(error):
                raise
            tell(f"palimpsest: {NO_MEMORY} ({error})")
            sys.exit(2)
        except OSError as error:
            if error.errno not in _SURROUNDINGS or error.filename is None:
                raise
            tell(f"palimpsest: {error.filename}: {error.strerror}")
            sys.exit(2)
