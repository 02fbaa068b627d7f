"""``palimpsest report``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UserError
from benchmark.store import Record, Store


def make_report(stores: Sequence[Path], output: Path) -> None:
    """Write one HTML file about the runs of all stores and print its path.

    Args:
        stores: Results databases; a run that is in several counts once.
        output: The HTML file.

    Raises:
        UserError: A store is missing or empty, or the file cannot be written.
    """
    from reports.html import write_report

    if output.is_dir():
        raise UserError(f"--output {output}: this is a folder; name an HTML file")
    records: dict[str, Record] = {}
    for path in stores:
        with Store(path) as store:
            records |= {record.key: record for record in store.records()}
    names = [str(path) for path in stores]
    command = shlex.join(["palimpsest", "report", *names, "-o", str(output)])
    try:
        write_report(list(records.values()), output, sources=names, command=command)
    except OSError as error:
        raise UserError(f"--output {output}: cannot be written: {error.strerror}") from None
    print(output.resolve())
