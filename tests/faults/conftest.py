"""What the chaos tests share; see ``chaos_runs.py``."""

import multiprocessing.forkserver
import time

import pytest


@pytest.fixture
def carry_out_here(monkeypatch):
    """``chaos_runs.carry_out`` in this process."""
    import chaos_runs

    monkeypatch.setattr(chaos_runs.in_worker, "serve", chaos_runs.serve)
    monkeypatch.setattr(
        chaos_runs.in_worker, "PREPARATION", "palimpsest.benchmark.orchestration.loop"
    )
    multiprocessing.forkserver._forkserver._stop()
    yield chaos_runs.carry_out
    multiprocessing.forkserver._forkserver._stop()


@pytest.fixture(scope="session")
def seconds(tmp_path_factory):
    """How long an undisturbed process takes for all chaos runs."""
    from chaos_runs import RUNS, begun, check, start

    folder = tmp_path_factory.mktemp("undisturbed")
    begin = time.monotonic()
    assert start(folder).wait(60) == 0
    check(folder, RUNS)
    assert [*begun(folder).values()] == [1] * len(RUNS)
    return time.monotonic() - begin
