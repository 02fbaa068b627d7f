"""Writes a new store from given runs, completely or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from secrets import token_hex

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files.databases import BESIDE
from palimpsest.benchmark.store.store import Record, Store
from palimpsest.benchmark.suites.note import SuiteNote


def check_new(path: Path) -> None:
    """Refuse a path that exists, or whose folder does not.

    Raises:
        UserError: Says what to do.
    """
    if path.exists() or path.is_symlink():
        raise UserError(f"{path} already exists; choose another name, or move it away")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; create it first")


def write_new(path: Path, records: Iterable[Record], suites: Iterable[SuiteNote]) -> None:
    """Write a new store under a temporary name, and rename it.

    Args:
        path: The new file, which must not exist.
        records: Its runs.
        suites: The notes of its suites.

    Raises:
        UserError: The file exists, or cannot be written; no file is left.
    """
    check_new(path)
    temporary = path.with_name(f".palimpsest-{token_hex(8)}.db")
    try:
        with Store(temporary, create=True) as store:
            store.put_all(records, suites)
        check_new(path)
        temporary.rename(path)
    except UserError as error:
        raise UserError(str(error).replace(str(temporary), str(path))) from error
    finally:
        for suffix in ("", *BESIDE):
            with contextlib.suppress(OSError):  # it was moved, or never made
                Path(f"{temporary}{suffix}").unlink()
