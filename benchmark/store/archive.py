"""Runs as one Parquet file, for sharing.

One row per run; what suites say about themselves is in the file's metadata. Plain columns are
typed; the other fields of ``record.Record`` are JSON, which keeps every number to the last bit. The
columns ``metric.NAME`` hold the metrics as numbers, for readers with pandas only; Palimpsest
computes them from the other columns. With the same version of pyarrow, the same runs give the same
bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from palimpsest.benchmark.errors import UserError, quoted
from palimpsest.benchmark.files.untrusted import opened, parsed
from palimpsest.benchmark.runs.record import (
    COLUMNS,
    JSON_COLUMNS,
    Record,
    columns_of,
    readable,
    record_of,
    with_references,
)
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.suites.note import SuiteNote, note_of
from palimpsest.benchmark.suites.note import columns_of as columns_of_suite

ARCHIVE_VERSION = 1

MAGIC = b"PAR1"
"""How every Parquet file begins and ends."""

_MARK = b"palimpsest.archive"
"""The metadata key of the archive version, which only our files have."""

_SUITES = b"palimpsest.suites"
"""The metadata key of the suites; absent where none is known."""

_METRIC = "metric."
_LEVEL = 9  # of zstd: 10 % smaller than the default, in seconds for thousands of runs


def is_archive(path: Path) -> bool:
    """Whether a path is an archive, by its content or, if there is no file, by its name.

    Every Parquet file counts; ``read_archive`` refuses those that ``palimpsest archive`` did not
    write.
    """
    try:
        if not path.exists():
            return path.suffix.lower() == ".parquet"
        return _end(path) is not None
    except OSError:  # reading it will say what is wrong
        return False


def is_marked(path: Path, mark: bytes = _MARK) -> bool:
    """Whether ``palimpsest archive`` wrote a file; pyarrow is not needed.

    Args:
        path: The file.
        mark: What its metadata has in it, if another command writes such files.

    Raises:
        OSError: It cannot be read.
    """
    end = _end(path)
    if end is None or end[4:] != MAGIC:
        return False
    with path.open("rb") as file:
        start = path.stat().st_size - 8 - int.from_bytes(end[:4], "little")
        file.seek(max(0, start))
        return mark in file.read()


def read_runs(path: Path) -> list[Record]:
    """Return the runs of a store or of an archive, in a stable order.

    Args:
        path: A results database, or an archive.

    Raises:
        UserError: As ``store.Store`` and ``read_archive``.
    """
    if is_archive(path):
        return read_archive(path)
    with Store(path) as store:
        return store.records()


def read_suites(path: Path) -> list[SuiteNote]:
    """Return the notes of the suites of a store or of an archive, as ``Store.suites``.

    Args:
        path: A results database, or an archive.

    Raises:
        UserError: As ``read_runs``.
    """
    if not is_archive(path):
        with Store(path) as store:
            return store.suites()
    with _opened(path) as file:
        stored = file.schema_arrow.metadata.get(_SUITES, b"[]")
    try:
        return [note_of(values) for values in parsed(stored)]
    except (TypeError, KeyError, ValueError) as error:
        raise _damaged(path, "its suites") from error


def read_archive(path: Path) -> list[Record]:
    """Return the runs of an archive, as they were written.

    A run that cannot be read is left out with a ``Remark``.

    Raises:
        UserError: It is missing, damaged, or written by another program or a newer version, or
            pyarrow is not installed.
    """
    with _opened(path) as file:
        rows = file.read(columns=[*COLUMNS]).to_pylist()
    return with_references(readable(_record(path, row) for row in rows))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an archive with pyarrow. All errors are a ``UserError``."""
    check_pyarrow(path)
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with opened(path) as source:
            file = parquet.ParquetFile(source, page_checksum_verification=True)
            _check(path, file.schema_arrow)
            yield file
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: there is no archive here; 'palimpsest archive --store STORE --output {path}' "
            "writes one from a store"
        ) from error
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise _damaged(path, reason) from error


def archive(records: Sequence[Record], suites: Sequence[SuiteNote] = ()) -> bytes:
    """Return the content of a Parquet file that holds runs.

    Args:
        records: The runs; the file has them in this order.
        suites: The notes of their suites.

    Raises:
        ValueError: A run holds a number that is not finite.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(dict.fromkeys(name for record in records for name in record.metrics))
    if suites:
        notes = json.dumps([columns_of_suite(note) for note in suites])
        schema = schema.with_metadata({**schema.metadata, _SUITES: notes})
    rows = [_row(record) for record in records]
    arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    table = pa.Table.from_arrays(arrays, schema=schema)
    buffer = BytesIO()
    parquet.write_table(
        table, buffer, compression="zstd", compression_level=_LEVEL, version="2.6",
        data_page_version="1.0", write_statistics=False, write_page_checksum=True,
    )  # fmt: skip
    return buffer.getvalue()


def check_pyarrow(path: Path) -> None:
    """Check that pyarrow, which reads and writes archives, is installed.

    Raises:
        UserError: It is not; says how to install it.
    """
    if not find_spec("pyarrow"):
        raise UserError(f"{path}: archives need pyarrow; pip install 'palimpsest-bench[parquet]'")


def _end(path: Path) -> bytes | None:
    """Return the last eight bytes of a Parquet file, even if damaged; ``None`` for other files."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return None
        file.seek(max(0, path.stat().st_size - 8))
        return file.read()


def _schema(metrics: Iterable[str] = ()) -> Any:
    """Return the columns of an archive, their types, and the version."""
    import pyarrow as pa

    types = {
        "strength": pa.float64(),
        "seed": pa.int64(),
        "seconds": pa.float64(),
        "peak_memory": pa.int64(),
    }
    columns = [(name, types.get(name, pa.string())) for name in COLUMNS]
    columns += [(f"{_METRIC}{name}", pa.float64()) for name in metrics]
    return pa.schema(columns, {_MARK: str(ARCHIVE_VERSION)})


def _row(record: Record) -> dict[str, Any]:
    metrics = {f"{_METRIC}{name}": value for name, value in record.metrics.items()}
    return columns_of(record) | metrics


def _check(path: Path, schema: Any) -> None:
    """Refuse files that are not archives, damaged, or of a newer version."""
    version = (schema.metadata or {}).get(_MARK)
    if version is None:
        raise UserError(
            f"{path}: a Parquet file, but not written by 'palimpsest archive'; name another one"
        )
    if not version.isdigit():
        raise _damaged(path, "its version is not a number")
    if int(version) > ARCHIVE_VERSION:
        raise UserError(
            f"{path}: written by a newer Palimpsest (archive format {int(version)}, this one reads "
            f"{ARCHIVE_VERSION}); upgrade palimpsest-bench"
        )
    if any(field not in schema for field in _schema()):
        raise _damaged(path, "columns are missing")


def _record(path: Path, row: dict[str, Any]) -> Record | UserError:
    try:
        return record_of(row | {name: parsed(row[name]) for name in JSON_COLUMNS})
    except (TypeError, ValueError) as error:
        return _damaged(path, f"run {quoted(row['key'])}: {error}")


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path}: the archive is damaged or truncated ({reason}); get it again, or write it again "
        "from its store"
    )
