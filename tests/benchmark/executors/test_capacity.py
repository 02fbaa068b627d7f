"""How many workers a machine has room for, as containers and batch systems limit it."""

import os

import pytest

from palimpsest.benchmark.executors import capacity
from palimpsest.benchmark.executors.local.control_groups import ControlGroups


@pytest.fixture
def groups(tmp_path):
    """Control groups made of files: ``groups("0::/a/b", {"a/cpu.max": "100000 100000"})``."""

    def make(own, files):
        (tmp_path / "own").write_text(f"7:pids:/x\n{own}\n")
        for name, text in files.items():
            file = tmp_path / "tree" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        return ControlGroups(tmp_path / "tree", tmp_path / "own")

    return make


def quota(folder, most, period):
    return {f"{folder}/cpu.cfs_quota_us": most, f"{folder}/cpu.cfs_period_us": period}


ONE, BOTH = "4:memory:/a", "3:cpu,cpuacct:/a"


@pytest.mark.parametrize(
    ("own", "file"),
    [
        ("0::/a/b", "a/b/memory.events"),
        ("0::/a/b", "memory.events"),
        (ONE, "memory/a/memory.oom_control"),
        (ONE, "memory/memory.oom_control"),
    ],
)
def test_the_system_says_what_it_ended_for_want_of_memory(groups, own, file):
    assert groups(own, {}).memory_kills() == 0
    assert groups(own, {file: "under_oom 0\noom_kill 3"}).memory_kills() == 3
    assert groups(own, {file: "no counter"}).memory_kills() == 0


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/a/b", {}, None),
        ("0::/a/b", {"a/b/cpu.max": "max 100000"}, None),
        ("0::/a/b", {"a/b/cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b", {"cpu.max": "50000 100000"}, 0.5),
        (BOTH, quota("cpu,cpuacct/a", "-1", "9"), None),
        (BOTH, quota("cpu,cpuacct/a", "80", "40"), 2),
        (BOTH, quota("cpu", "80", "20"), 4),
    ],
)  # fmt: skip
def test_a_quota_of_processors(groups, monkeypatch, own, files, expected):
    found = groups(own, files)
    assert found.processors() == expected
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(3), raising=False)
    assert capacity.processors(found) == (3 if expected is None else min(3, -int(-expected // 1)))


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/a", {"a/memory.max": "max", "a/memory.current": "5"}, None),
        ("0::/a", {"a/memory.max": "9000", "a/memory.current": "4000"}, 5000),
        (
            "0::/a",
            {
                "a/memory.max": "9000",
                "a/memory.current": "4000",
                "a/memory.stat": "anon 1000\ninactive_file 3000",
            },
            8000,
        ),
        (ONE, {"memory/memory.limit_in_bytes": "7", "memory/memory.usage_in_bytes": "9"}, 0),
    ],
)
def test_a_limit_of_memory(groups, tmp_path, own, files, expected):
    found = groups(own, files)
    assert found.free_memory() == expected
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 6 kB\n")
    assert capacity.free_memory(found, tmp_path / "meminfo") == min(6144, expected or 6144) * (
        expected != 0
    )
    assert capacity.free_memory(found, tmp_path / "none") == expected


@pytest.mark.parametrize(
    ("jobs", "footprint", "expected"),
    [
        (100, None, 8),
        (3, None, 3),
        (0, None, 1),
        (100, 2_000_000_000, 5),
        (2, 2_000_000_000, 2),
        (100, 50_000_000_000, 1),
    ],
)
def test_there_are_as_many_workers_as_there_is_room_for(monkeypatch, jobs, footprint, expected):
    monkeypatch.setattr(capacity, "processors", lambda: 8)
    monkeypatch.setattr(capacity, "free_memory", lambda: 10_000_000_000)
    count, why = capacity.default_workers(jobs, footprint)
    assert count == expected
    assert ("needed" in why) is (footprint is not None and jobs == 100)
