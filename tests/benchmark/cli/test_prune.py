"""``palimpsest prune``: what nothing asks for any more, and only on request."""

import time
from pathlib import Path

import pytest
from command_line import command
from two_strategies import HELPER, PLUGIN, SUITE

from palimpsest.benchmark.store.store import Store


@pytest.fixture
def store(registries, tmp_path, monkeypatch, capsys):
    """A store with runs of a plugin before and after an edit of one of its strategies."""
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SUITE)
    Path("helper.py").write_text(HELPER)
    with registries():
        for rate in (3, 4):
            Path("mine.py").write_text(PLUGIN.replace("RATE = 3", f"RATE = {rate}"))
            options = ("--plugin", "mine.py", "--store", "r.db", "--workers", 1, "--quiet")
            assert command("run", "s.yaml", *options) == 0, capsys.readouterr().err
        capsys.readouterr()
        yield tmp_path / "r.db"


def kept(store):
    with Store(store) as opened:
        return sorted(record.strategy for record in opened.records())


def test_only_what_was_edited_ran_again_and_the_older_run_can_be_removed(store, capsys):
    assert kept(store) == ["one", "one", "two"]
    assert command("prune", store) == 0
    told = capsys.readouterr().out
    assert "mine, two_models, one: 1 run (20" in told
    assert "1 run would be removed and 2 left" in told
    assert kept(store) == ["one", "one", "two"]
    assert command("prune", store, "--yes") == 0
    assert "1 run removed, 2 left" in capsys.readouterr().out
    assert kept(store) == ["one", "two"]
    assert command("prune", store, "--yes") == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_with_a_suite_its_runs_that_the_file_does_not_name_are_removed(store, capsys):
    Path("s.yaml").write_text(SUITE.replace("  two: {strengths: [1]}\n", ""))
    assert command("prune", store, "s.yaml", "--plugin", "mine.py", "--yes") == 0
    assert kept(store) == ["one"]
    Path("s.yaml").write_text(SUITE.replace("suite: mine", "suite: another"))
    assert command("prune", store, "s.yaml", "--plugin", "mine.py", "--yes") == 0
    assert "nothing to remove" in capsys.readouterr().out
    assert kept(store) == ["one"]


def test_code_that_is_again_what_it_was_is_told(store, capsys, registries):
    options = ("--plugin", "mine.py", "--store", "r.db", "--workers", 1)
    time.sleep(1)  # a store keeps whole seconds
    Path("mine.py").write_text(PLUGIN.replace("RATE = 3", "RATE = 5"))
    with registries():
        assert command("run", "s.yaml", *options) == 0
    Path("mine.py").write_text(PLUGIN)
    capsys.readouterr()
    with registries():
        assert command("run", "s.yaml", *options) == 0
        told = capsys.readouterr()
        assert "Nothing to do" in told.out
        assert "r.db has newer runs of one, made by other code" in told.err
        assert command("prune", store, "s.yaml", "--plugin", "mine.py", "--yes") == 0
        assert "2 runs removed, 2 left" in capsys.readouterr().out
        assert command("run", "s.yaml", *options) == 0
    assert "newer runs" not in capsys.readouterr().err
