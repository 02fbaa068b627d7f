"""Data that several processes hold once, through a file."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import pytest
import torch

from palimpsest.benchmark.data import shared_data
from palimpsest.benchmark.data.formats import images
from palimpsest.benchmark.data.shared_data import share_through, shared
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.scenarios.families.split import Split
from palimpsest.benchmark.scenarios.loading import load_data_set
from palimpsest.benchmark.scenarios.streams.parts import DataSet

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def forget():
    images.load_pixels.cache_clear()
    load_data_set.cache_clear()


@pytest.fixture(autouse=True)
def on_its_own():
    forget()
    yield
    share_through(None)
    forget()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "scratch"
    path.mkdir()
    share_through(path)
    return path


def numbers() -> dict:
    return {"x": torch.arange(50_000.0), "y": torch.tensor([3, 1]), "names": ("a", "b")}


def tensors(source: DataSet) -> list[torch.Tensor]:
    part = source.part
    return [tensor for split in (part.train, part.validation, part.test) for tensor in split]


def file_behind(tensor: torch.Tensor) -> str | None:
    """The file that the kernel maps at a tensor's address."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, *_, name = line.split(maxsplit=5)
        start, end = (int(address, 16) for address in place.split("-"))
        if start <= tensor.data_ptr() < end:
            return name if name.startswith("/") else None
    return None


def test_a_process_on_its_own_keeps_what_it_made():
    made = numbers()
    assert shared("numbers", lambda: made) is made


def test_the_second_to_ask_makes_nothing(folder):
    shared("numbers", numbers)
    assert torch.equal(shared("numbers", lambda: pytest.fail("made again"))["x"], numbers()["x"])
    assert shared("others", lambda: 7) == 7


@linux_only
def test_the_tensors_are_the_files_pages_even_when_it_is_gone(folder):
    values = shared("numbers", numbers)
    assert file_behind(values["x"]).startswith(str(folder))
    assert file_behind(torch.arange(50_000.0)) is None
    for file in folder.iterdir():
        file.unlink()
    assert file_behind(values["x"]).endswith("(deleted)")
    assert torch.equal(values["x"], numbers()["x"])


def test_who_writes_to_a_tensor_writes_to_a_copy(folder):
    shared("numbers", numbers)["x"].zero_()
    assert torch.equal(shared("numbers", numbers)["x"], numbers()["x"])


def test_errors_of_the_maker_are_passed_on_and_nothing_is_kept(folder):
    def broken():
        raise UserError("no such data")

    for _ in range(2):
        with pytest.raises(UserError, match="no such data"):
            shared("numbers", broken)
    assert shared("numbers", numbers)["names"] == ("a", "b")


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100, None], ids=["empty", "other", "cut"])
def test_a_damaged_file_is_made_anew(folder, content):
    shared("numbers", numbers)
    [file] = folder.glob("*.tensors")
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert torch.equal(shared("numbers", numbers)["x"], numbers()["x"])
    shared("numbers", lambda: pytest.fail("made again"))


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_a_folder_that_cannot_be_used_is_done_without(tmp_path, kind):
    if kind == "a file":
        (tmp_path / "scratch").touch()
    share_through(tmp_path / "scratch")
    made = numbers()
    assert shared("numbers", lambda: made) is made


def on_a_full_disk(folder: Path) -> tuple[bool, list[str]]:
    made, limits = numbers(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        share_through(folder)
        kept = shared("numbers", lambda: made) is made
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    return kept, [file.suffix for file in folder.iterdir()]


def ask_for(data: str, root: Path, folder: Path, log: Path) -> tuple[str, list[str | None]]:
    """Load a scenario's data in a process of its own, and tell of every decoding."""
    read = images._read

    def logged(*which):
        with log.open("a") as lines:
            lines.write(f"{os.getpid()}\n")
        time.sleep(0.5)  # so that the other process asks meanwhile
        return read(*which)

    images._read = logged
    share_through(folder)
    found = tensors(Split(data=data).load_data(root, "cpu"))
    digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in found)).hexdigest()
    files = [file_behind(tensor) for tensor in found] if sys.platform == "linux" else []
    return digest, files


def die_while_making(folder: Path) -> None:
    share_through(folder)
    shared("numbers", lambda: os.kill(os.getpid(), signal.SIGKILL))


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_a_full_disk_is_done_without(processes, tmp_path):
    kept, files = processes.submit(on_a_full_disk, tmp_path).result()
    assert kept
    assert files == [".lock"]


def test_of_two_processes_one_decodes_and_both_map_the_same_file(
    processes, folder, two_classes, tmp_path
):
    name, log = f"folder:{two_classes}", tmp_path / "decoded"
    list(processes.map(time.sleep, [0.2, 0.2]))  # both have started
    asked = [processes.submit(ask_for, name, tmp_path, folder, log) for _ in range(2)]
    (digest, files), (other_digest, other_files) = (future.result() for future in asked)
    assert len(log.read_text().split()) == 1
    assert digest == other_digest
    assert files == other_files
    assert len(set(files)) <= 1
    assert None not in files


def test_a_process_killed_while_making_leaves_the_turn_to_the_next(folder):
    process = multiprocessing.get_context("spawn").Process(target=die_while_making, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert torch.equal(shared("numbers", numbers)["x"], numbers()["x"])


def test_without_a_lock_the_same_is_made_twice_and_is_right(folder, monkeypatch):
    def no_locks(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(shared_data.fcntl, "flock", no_locks)
    for _ in range(2):
        assert torch.equal(shared("numbers", numbers)["x"], numbers()["x"])


OPTIONS = [{}, {"samples": 150}, {"validation": 0.0}, {"samples": 17, "validation": 0.3}]


@pytest.mark.parametrize(
    ("data", "options"),
    [
        *product(["digits", "folder"], OPTIONS),
        *(pytest.param("mnist", o, marks=pytest.mark.thorough) for o in OPTIONS[:2]),  # it is large
    ],
)
def test_a_shared_source_is_the_same_bit_for_bit(data, options, two_classes, tmp_path, real_data):
    root = real_data("MNIST") if data == "mnist" else tmp_path
    settings = Split(data=f"folder:{two_classes}" if data == "folder" else data, **options)
    own = settings.load_data(root, "cpu")
    share_through(tmp_path)
    for _ in range(2):  # as the one who made it, and as another process
        forget()
        found = settings.load_data(root, "cpu")
        for tensor, expected in zip(tensors(found), tensors(own), strict=True):
            assert tensor.dtype == expected.dtype
            assert torch.equal(tensor, expected)
            assert tensor.stride() == expected.stride()
        assert (found.input_shape, found.n_classes) == (own.input_shape, own.n_classes)
