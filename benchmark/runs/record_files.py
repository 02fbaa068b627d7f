"""Finished runs as single files outside of a store."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from palimpsest.benchmark.files.untrusted import content, parsed
from palimpsest.benchmark.files.writing import FileKind, Output, write_files
from palimpsest.benchmark.runs.record import COLUMNS, JSON_COLUMNS, Record, columns_of, record_of

_MARK = "palimpsest.rescued"
_VERSION = 1
_KIND = FileKind("run", re.compile(re.escape(f'{{"{_MARK}"').encode()))
_MOST_BYTES = 1 << 30


def write_run(folder: Path, record: Record) -> None:
    """Write a run into a folder as ``KEY.json``, completely or not at all.

    Raises:
        UserError: It cannot be written.
    """
    values = columns_of(record)
    values |= {name: json.loads(values[name]) for name in JSON_COLUMNS}
    text = json.dumps({_MARK: _VERSION, "run": values}, allow_nan=False)
    write_files([Output(folder / f"{record.key}.json", text.encode(), _KIND)])


def read_run(path: Path) -> Record:
    """Read a file of ``write_run``.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not such a file; says why.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("it is not a file of a run")
    data = parsed(content(path))
    if not isinstance(data, dict) or _MARK not in data:
        raise ValueError("another program wrote it")
    if data[_MARK] != _VERSION:
        raise ValueError(f"it is of version {data[_MARK]!r}, expected {_VERSION}")
    return _checked(data.get("run"))


def _checked(values: Any) -> Record:
    if not isinstance(values, dict):
        raise ValueError("it holds no run")
    if values.keys() != {*COLUMNS}:
        raise ValueError("fields of the run are missing, or there are others")
    record = record_of(values)
    columns_of(record)
    if record.key != record.spec.key():
        raise ValueError("its key does not fit its settings")
    return record
