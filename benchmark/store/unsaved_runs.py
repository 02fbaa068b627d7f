"""Runs that could not be written into a store, as files; the next command moves them into it.

The files are ``STORE.rescued/KEY.json``. If nothing can be written next to the store, they are in
the user's state folder, or else in the folder for temporary files.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_state_path

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.slurm.job_folder import abandoned_results
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.runs.record_files import read_run, write_run
from palimpsest.benchmark.store.store import Store


@dataclass(frozen=True)
class UnsavedRuns:
    """The runs in files next to a store.

    Attributes:
        runs: By file.
        refused: Why other files or folders cannot be read, a sentence each.
    """

    runs: Mapping[Path, Record]
    refused: tuple[str, ...]


def save_beside(store: Path, record: Record) -> Path:
    """Write a run into a file outside of the store, completely or not at all.

    Args:
        store: The results database. The file is written next to it if possible.
        record: The run.

    Returns:
        The file's folder.

    Raises:
        UserError: It cannot be written anywhere.
    """
    reasons = []
    for folder in _folders(store):
        try:
            _make_own(folder, store)
            write_run(folder, record)
        except UserError as error:
            reasons.append(str(error))
            with contextlib.suppress(OSError):  # there may be others in it
                folder.rmdir()
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
        else:
            return folder
    raise UserError("; ".join(reasons))


def unsaved_runs(store: Path) -> UnsavedRuns:
    """Return the runs in files next to a store, and in the user's own folders.

    Nothing is changed. A file without a run, or with a wrong key, is refused.

    Args:
        store: The results database, which need not exist.
    """
    runs: dict[Path, Record] = {}
    refused = []
    for folder in (*_folders(store), *abandoned_results(store)):
        try:
            if not os.path.exists(folder):  # noqa: PTH110  # nor where nobody may look
                continue
            _check_own(folder, store)
            files = sorted(path for path in folder.iterdir() if path.suffix == ".json")
        except OSError as error:
            refused.append(f"{folder}: rescued runs cannot be read ({error.strerror or error})")
            continue
        for path in files:
            try:
                runs[path] = read_run(path)
            except OSError as error:
                refused.append(f"{path}: this file cannot be read ({error.strerror})")
            except ValueError as error:
                refused.append(f"{path}: not a rescued run, so it is left there ({error})")
    return UnsavedRuns(runs, tuple(refused))


def take_in(store: Store, found: UnsavedRuns) -> int:
    """Move rescued runs into their store. Runs that the store has done are kept.

    Args:
        store: Open for writing.
        found: The result of ``unsaved_runs``.

    Returns:
        The number of new runs in the store.

    Raises:
        UserError: A run cannot be written; its file stays.
    """
    new = 0
    known = store.statuses()
    for path, record in found.runs.items():
        if known.get(record.key) != "done":
            store.put(record)
            known[record.key] = record.status
            new += 1
        with contextlib.suppress(
            OSError
        ):  # it will be there the next time, too, and change nothing
            path.unlink()
            path.parent.rmdir()
    return new


def _folders(store: Path) -> Iterator[Path]:
    place = Path(os.path.realpath(store))
    yield place.with_name(f"{place.name}.rescued")
    name = f"{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:12]}.rescued"
    yield user_state_path("palimpsest") / name
    with contextlib.suppress(FileNotFoundError):  # there may be no folder for temporary files
        yield Path(tempfile.gettempdir()) / f"palimpsest-{os.geteuid()}-{name}"


def _make_own(folder: Path, store: Path) -> None:
    """Make a folder. Folders that are not next to the store are private to the user."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o777 if _is_beside(folder, store) else 0o700)
    _check_own(folder, store)


def _check_own(folder: Path, store: Path) -> None:
    """Refuse folders of other users, except next to the store.

    Raises:
        OSError: It is not a folder of this user.
    """
    if not _is_beside(folder, store):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(0, "it is not this user's folder")


def _is_beside(folder: Path, store: Path) -> bool:
    return folder.parent == Path(os.path.realpath(store)).parent
