"""Folders for shared files: whose they are, and that no run fails for want of them."""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pytest
from at_length import at_length

from palimpsest import run_suite
from palimpsest.benchmark.executors.in_process import InProcess
from palimpsest.benchmark.executors.scratch import NodeScratch, WithScratch, scratch_warning

SUITE = {
    "suite": "small",
    "seeds": 1,
    "scenarios": {"two_models": {"data": "digits", "steps": 3, "width": 4, "curve": {"every": 0}}},
    "strategies": {"finetune": {}, "wpl": {"strengths": [1], "samples": 5}},
}
KILLED = """
import os, signal, sys
from pathlib import Path
from palimpsest.benchmark.executors.scratch import WithScratch
with WithScratch(Path(sys.argv[1])) as executor:
    (executor._scratch / "data.tensors").write_bytes(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)
"""
LITTLE_SPACE = """
import multiprocessing, resource
from palimpsest.benchmark.metrics import Metric
if multiprocessing.parent_process():
    resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))
METRICS = [Metric("unused", min, "made up", needs=("final_accuracy",))]
"""


def test_what_a_killed_process_left_is_removed_by_the_next_and_nothing_else(tmp_path):
    empty, unlocked, link = (
        tmp_path / f"palimpsest-scratch-{name}" for name in ("empty", "unlocked", "link")
    )
    empty.mkdir()  # as of a process that was killed at its start
    unlocked.mkdir()  # not known to be abandoned
    (unlocked / "file").touch()
    (tmp_path / "palimpsest.db").touch()
    (tmp_path / "palimpsest-a7d9").mkdir()  # another command's, in which it has just begun
    (tmp_path / "another").mkdir()
    link.symlink_to(tmp_path / "another")
    (tmp_path / "another" / "owner").touch()
    others = {path.name for path in tmp_path.iterdir()} - {empty.name}
    ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = {path.name for path in tmp_path.iterdir()} - others - {empty.name}
    with WithScratch(tmp_path) as first, WithScratch(tmp_path) as second:
        own = {first._scratch.name, second._scratch.name}
        assert left not in own
        assert {path.name for path in tmp_path.iterdir()} == others | own
    assert {path.name for path in tmp_path.iterdir()} == others


def test_what_an_orphan_still_writes_does_not_keep_a_folder(tmp_path, monkeypatch):
    executor = WithScratch(tmp_path)
    real, late = Path.unlink, []

    def unlink(path, *arguments, **options):
        real(path, *arguments, **options)
        with contextlib.suppress(OSError):
            (executor._scratch / "late.tensors").touch()
            late.append(path)

    (executor._scratch / "data.tensors").touch()
    monkeypatch.setattr(Path, "unlink", unlink)
    executor.__exit__(None, None, None)
    assert late == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_taken_for_abandoned_is_made_again(tmp_path, monkeypatch):
    """Another process may lock it before its owner does."""
    from palimpsest.benchmark.executors import scratch

    real, calls = scratch.fcntl.flock, []

    def flock(lock, how):
        calls.append(how)
        if len(calls) == 1:
            shutil.rmtree(Path(lock.name).parent)
        real(lock, how)

    monkeypatch.setattr(scratch.fcntl, "flock", flock)
    with WithScratch(tmp_path) as executor:
        assert executor._scratch.is_dir()
        assert len(calls) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_no_run_fails_where_there_is_no_folder_for_scratch_files(tmp_path, monkeypatch, workers):
    plain = run_suite(SUITE, store=tmp_path / "plain.db", workers=workers)

    def full():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", full)
    results = run_suite(SUITE, store=tmp_path / "r.db", workers=workers)
    assert not results.failed
    assert [r.accuracy_matrix for r in results] == [r.accuracy_matrix for r in plain]
    assert "every run reads its own data" in scratch_warning(None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
@pytest.mark.parametrize("size", at_length([0, 100, 20_000], [0, 100]))
def test_no_run_fails_where_scratch_files_cannot_be_written(tmp_path, registries, size):
    """As on a full disk, which is met in the middle of a file."""
    (tmp_path / "little.py").write_text(LITTLE_SPACE.format(size=size))
    with registries():
        results = run_suite(
            SUITE, store=tmp_path / "r.db", workers=1, plugins=[tmp_path / "little.py"]
        )
    assert [record.error for record in results] == [None, None]


def test_little_space_is_told_beforehand(tmp_path, monkeypatch):
    usage = types.SimpleNamespace(free=5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    said = scratch_warning(tmp_path)
    assert said.startswith(f"only 5 MB are free for scratch files in {tmp_path}: ")
    assert "--scratch" in said
    usage.free = 5 << 30
    assert scratch_warning(tmp_path) is None


def test_processes_of_a_node_share_a_folder_that_the_last_one_removes(tmp_path):
    first, second = (NodeScratch("suite", tmp_path) for _ in range(2))
    assert first.folder == second.folder
    (first.folder / "x.tensors").write_text("")
    InProcess(tmp_path, scratch=tmp_path)  # removes what is abandoned, and this is not
    first.leave()
    assert (second.folder / "x.tensors").exists()
    folder = second.folder
    second.leave()
    assert not folder.exists()


def test_a_shared_folder_whose_processes_were_killed_is_removed_by_the_next(tmp_path):
    program = "import os, sys; from pathlib import Path\n"
    program += "from palimpsest.benchmark.executors.scratch import *\n"
    program += "NodeScratch('suite', Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert (tmp_path / "palimpsest-scratch-suite").exists()
    NodeScratch("another", tmp_path).leave()
    assert list(tmp_path.iterdir()) == []
