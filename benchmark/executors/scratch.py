"""A folder through which the jobs of an executor on this machine share files."""

from __future__ import annotations

import tempfile
from types import TracebackType
from typing import Self


class WithScratch:
    """An executor with a scratch folder, which is removed when the executor ends."""

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="palimpsest-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._scratch.cleanup()
