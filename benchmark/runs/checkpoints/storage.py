"""Checkpoints as files: written completely or not at all, and only read if they are valid."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

import torch

from palimpsest.benchmark.files.untrusted import opened, parsed
from palimpsest.benchmark.runs.checkpoints.encoding import Encoded
from palimpsest.benchmark.runs.first_model.storage import checksum
from palimpsest.benchmark.runs.provenance import code_digest, versions
from palimpsest.benchmark.suites.jobs import Job

_MARK = b"palimpsest checkpoint 1\n"
_SIZE = len(checksum(b""))


class RefusedError(Exception):
    """A file is not the wanted checkpoint; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint.

    Attributes:
        facts: The writer's notes, as JSON.
        state: The state of the run.
    """

    facts: dict[str, Any]
    state: Encoded


def save(path: Path, job: Job, facts: dict[str, Any], state: Encoded) -> None:
    """Replace a checkpoint atomically.

    Args:
        path: The file.
        job: The job of the checkpoint.
        facts: JSON.
        state: Of the run.

    Raises:
        OSError: It cannot be written; the earlier checkpoint is still there.
    """
    content = to_bytes(state, {"of": _identity(job), "facts": facts})
    temporary = path.with_name(f".{path.name}.{token_hex(8)}.tmp")
    try:
        with _opened(temporary) as file:
            file.write(_MARK)
            file.write(checksum(content))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def to_bytes(state: Encoded, facts: dict[str, Any]) -> bytes:
    """Return a state as bytes, its tensors in torch's format, everything else as JSON.

    Args:
        state: Of a run.
        facts: JSON.
    """
    graph = json.dumps({"facts": facts, "root": state.root, "nodes": state.nodes})
    whole = io.BytesIO()
    torch.save({"graph": graph, "tensors": state.tensors}, whole)
    return whole.getvalue()


def from_bytes(content: bytes) -> tuple[Encoded, dict[str, Any]]:
    """Return a state and its facts.

    Args:
        content: The result of ``to_bytes``; nothing in it is executed.

    Raises:
        Exception: The content is something else.
    """
    found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    graph = parsed(found["graph"], finite=False)
    return Encoded(graph["root"], graph["nodes"], found["tensors"]), graph["facts"]


def _opened(path: Path) -> IO[bytes]:
    """Create a file, and its folder if another process has just removed it."""
    with contextlib.suppress(FileNotFoundError):
        return path.open("xb")
    path.parent.mkdir(exist_ok=True)
    return path.open("xb")


def load(path: Path, job: Job) -> Checkpoint | None:
    """Read a checkpoint; ``None`` if there is none.

    Args:
        path: The file.
        job: The expected job.

    Raises:
        RefusedError: It is damaged, another run's, or of another version.
    """
    try:
        with opened(path) as file:
            if file.read(len(_MARK)) != _MARK:
                raise RefusedError("it is no checkpoint of this version")
            digest, content = file.read(_SIZE), file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RefusedError(f"it cannot be read: {error.strerror}") from error
    if digest != checksum(content):
        raise RefusedError("it is damaged")
    try:
        state, header = from_bytes(content)
        identity, facts = header["of"], header["facts"]
    except Exception as error:  # written by another program, with the right checksum
        raise RefusedError(f"it holds something else ({type(error).__name__})") from error
    mine = _identity(job)
    if identity != mine:
        same_run = isinstance(identity, dict) and identity.get("runs") == mine["runs"]
        raise RefusedError("other versions wrote it" if same_run else "it is another run's")
    return Checkpoint(facts, state)


def _identity(job: Job) -> dict[str, Any]:
    """Return everything that has to be equal for bit-identical results."""
    return {"runs": [run.key for run in job], "versions": versions(), "code": code_digest()}
