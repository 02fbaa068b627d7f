"""Tidy frames as CSV, Parquet and JSON: numbers in full, texts that no spreadsheet executes."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd

_FORMULA = re.compile(r"[=+\-@\t\n＝＋－＠]")  # full-width signs count, too
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)

_TEXTS = {
    "device", "dial", "error", "key", "kind", "metric", "reason", "scenario", "started", "status",
    "strategy", "suite", "variant",
}  # fmt: skip
"""Columns of text, by name; other columns that have no value at all are of numbers."""


def harmless(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would read as a formula.

    Such text begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break; numbers stay as they
    are. Names and messages of a store may come from anyone. Carriage returns become line feeds,
    because the csv module does not quote them, and the rest would begin a new row.
    """
    text = re.sub(r"\r\n?", "\n", text)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_of(frame: pd.DataFrame, float_format: str | None = None) -> str:
    """Return a frame as CSV, its texts ``harmless``.

    Args:
        frame: Without its index.
        float_format: How numbers are written; in full where ``None``: reading them back gives the
            same numbers.
    """
    safe = frame.rename(columns=_safe)
    for place, kind in enumerate(frame.dtypes):
        column = frame.iloc[:, place]
        if isinstance(kind, pd.CategoricalDtype):  # few texts, many rows
            texts = {text: _safe(text) for text in column.cat.categories}
            if any(text != other for text, other in texts.items()):
                safe.isetitem(place, column.astype(object).map(_safe, na_action="ignore"))
        elif not (pd.api.types.is_numeric_dtype(kind) or kind.kind == "M"):
            safe.isetitem(place, column.astype(object).map(_safe, na_action="ignore"))
    return str(safe.to_csv(index=False, float_format=float_format, lineterminator="\n"))


def csv_lines(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of texts as CSV, ``harmless``."""
    buffer = StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(map(harmless, row) for row in rows)
    return buffer.getvalue()


def parquet_of(frame: pd.DataFrame) -> bytes:
    """Return a frame as Parquet. A column has the same type whether or not it has values."""
    empty = [name for name in frame if frame[name].dtype == object and frame[name].isna().all()]
    types = {name: "string" if name in _TEXTS else "float64" for name in empty}
    return bytes(frame.astype(types).to_parquet(engine="pyarrow", index=False))


def json_of(frame: pd.DataFrame) -> str:
    """Return a frame as JSON: a list of rows, each with every column; null where nothing is known.

    Numbers are written in full, times as ISO 8601.
    """
    rows = [
        {name: _plain(value) for name, value in zip(frame, row, strict=True)}
        for row in frame.itertuples(index=False, name=None)
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def _safe(value: object) -> object:
    return harmless(value) if isinstance(value, str) else value
