"""What a run gives can be read again; one that cannot hides no other, and none is lost unseen."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from command_line import command

from palimpsest import load_suite, open_store, run_suite
from palimpsest.benchmark.errors import Remark, UserError
from palimpsest.benchmark.runs.record import free_share
from palimpsest.benchmark.store.store import Store

SCENARIO = {"family": "split", "data": "digits", "experiences": 2, "steps": 4, "width": 4}

NETWORK = """\
from torch import nn, zeros

from palimpsest.benchmark.models.registry import NetworkEntry


class Odd(nn.Module):
    \"\"\"A layer, and a parameter without a number in it.\"\"\"

    def __init__(self, n_classes=10, **_):
        super().__init__()
        self.first = nn.Linear(64, 8)
        self.empty = nn.Parameter(zeros(0, 9))
        self.head = nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.first(x.flatten(1)).relu() + self.empty.sum())


NETWORKS = [NetworkEntry("odd", "Odd", __name__)]
"""

STRATEGY = """\
from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.hooks import Capacity, Hooked
from palimpsest.strategies.base.settings import StrategySettings


class Settings(StrategySettings):
    told: str = "nan"


class Holds(Hooked, Capacity):
    facts = Facts("holds", "holds", "made up")
    Settings = Settings

    def __init__(self, told):
        super().__init__()
        self.told = float(told)

    def free(self, model):
        return {name: self.told for name, _ in model.named_parameters()}
"""


@pytest.fixture(autouse=True)
def as_shipped(registries):
    """What these plugins add is gone afterwards."""
    with registries():
        yield


def run(tmp_path, scenario, strategies, plugin, text, **options):
    """Carry out a suite that needs a plugin."""
    path = tmp_path / plugin
    path.write_text(text)
    content = {"suite": "s", "seeds": 1, "scenarios": {"it": scenario}, "strategies": strategies}
    return run_suite(content, store=tmp_path / "runs.db", plugins=[path], **options)


def test_a_network_with_an_empty_parameter_leaves_the_store_readable(tmp_path, capsys):
    strategies = {
        "freeze": {}, "gpm": {"energies": [0.9]}, "spg": {"strengths": [1]},
        "supsup": {"densities": [0.5]}, "freeze_important": {"shares": [0.5]},
        "inflora": {"energies": [0.9], "rank": 2}, "finetune": {},
    }  # fmt: skip
    scenario = {n: v for n, v in SCENARIO.items() if n != "width"} | {"network": "odd"}
    results = run(tmp_path, scenario, strategies, "odd.py", NETWORK, workers=0)
    assert [r.failure.traceback for r in results.failed] == []
    assert len(open_store(tmp_path / "runs.db")) == len(strategies)
    for record in results:
        assert all(0 <= share <= 1 for share in record.free_shares)
    assert command("list", "runs", "--store", tmp_path / "runs.db") == 0


def test_what_is_empty_has_no_free_share():
    assert free_share([{"parameters": 0, "free": [1.0, 0.5]}]) == []
    tensors = [{"parameters": 0, "free": [0.0]}, {"parameters": 4, "free": [0.5]}]
    assert free_share(tensors) == [0.5]


def test_a_share_that_is_none_fails_its_own_run(tmp_path):
    wrong = ["nan", "2.0", "-1.0", "inf"]
    strategies = {
        **{f"says_{told}": {"strategy": "holds", "told": told} for told in wrong},
        "finetune": {},
        "right": {"strategy": "holds", "told": "0.5"},
        "adds_up": {"strategy": "holds", "told": "1.000000001"},
    }
    results = run(tmp_path, SCENARIO, strategies, "holds.py", STRATEGY, workers=1)
    held = {"finetune", "right", "adds_up"}
    assert {r.strategy for r in results if r.status == "done"} == held
    for failed in results.failed:
        share = float(failed.strategy.removeprefix("says_"))
        assert f"Holds.free says {share} of 'blocks.trunk" in failed.error
        assert "from 0 to 1" in failed.error


def test_whatever_cannot_be_stored_fails_its_own_run(tmp_path, monkeypatch):
    from palimpsest.benchmark.runs import runner

    monkeypatch.setattr(runner, "shared_statistics", lambda scenario: {"lost": float("nan")})
    results = run_suite(
        {"suite": "s", "seeds": 1, "scenarios": {"it": SCENARIO}, "strategies": {"finetune": {}}},
        store=tmp_path / "runs.db",
        workers=0,
    )
    assert [r.failure.kind for r in results] == ["error"]
    assert len(open_store(tmp_path / "runs.db").failed) == 1


@pytest.fixture
def damaged(tmp_path):
    """A store of two runs of which one cannot be read."""
    suite = load_suite(
        {"suite": "s", "seeds": 2, "scenarios": {"it": SCENARIO}, "strategies": {"finetune": {}}}
    )
    path = tmp_path / "runs.db"
    run_suite(suite, store=path, workers=0)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET cost = ? WHERE seed = 1", ['{"capacity": 3}'])
    return path


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("cost", ['{"capacity": 3}', "7", "{", DEEP, '{"lost": NaN}'])
def test_a_run_that_cannot_be_read_hides_no_other(damaged, tmp_path, capsys, cost):
    with closing(sqlite3.connect(damaged)) as connection, connection:
        connection.execute("UPDATE runs SET cost = ? WHERE seed = 1", [cost])
    for words in (
        ("list", "runs", "--store", damaged),
        ("report", damaged, "-o", tmp_path / "r.html"),
        ("export", damaged, "-o", tmp_path / "r.csv"),
        ("archive", "--store", damaged, "-o", tmp_path / "r.parquet"),
    ):
        capsys.readouterr()
        assert command(*words) == 0, capsys.readouterr().err
        told = capsys.readouterr().err
        assert told.startswith(f"warning: left out: {damaged}: a run cannot be read (run ")
        assert "Traceback" not in told
    with pytest.warns(Remark, match="left out"):
        assert [r.seed for r in open_store(damaged)] == [0]


def test_a_run_of_an_archive_that_cannot_be_read_hides_no_other(tmp_path):
    from palimpsest.benchmark.store.archive import archive

    suite = load_suite(
        {"suite": "s", "seeds": 2, "scenarios": {"it": SCENARIO}, "strategies": {"finetune": {}}}
    )
    good = list(run_suite(suite, store=tmp_path / "runs.db", workers=0))
    object.__setattr__(good[0], "cost", {"capacity": 3})
    (tmp_path / "runs.parquet").write_bytes(archive(good))
    with pytest.warns(Remark, match="left out"):
        assert [r.seed for r in open_store(tmp_path / "runs.parquet")] == [1]


@pytest.mark.parametrize("how", ["removed", "replaced", "folder"])
def test_a_store_that_is_taken_away_while_it_is_written_is_told(tmp_path, how, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "here"
    folder.mkdir()
    path = folder / "runs.db"
    content = {
        "suite": "s", "seeds": 3, "scenarios": {"it": SCENARIO}, "strategies": {"finetune": {}},
    }  # fmt: skip
    undisturbed = run_suite(content, store=tmp_path / "other.db", workers=0)

    def watch(news):
        if news.record is None or news.done != 1:
            return
        if how == "folder":
            shutil.rmtree(folder)
            return
        for each in folder.glob("runs.db*"):
            each.unlink()
        if how == "replaced":
            run_suite({**content, "seeds": [7]}, store=path, workers=0)

    with pytest.raises(UserError, match="removed or replaced while runs") as told:
        run_suite(content, store=path, workers=0, progress=watch)
    assert "3 runs of these suites are in" in str(told.value)
    again = run_suite(content, store=path, workers=0, progress=lambda news: pytest.fail("anew"))
    assert [r.accuracy_matrix for r in again] == [r.accuracy_matrix for r in undisturbed]
    assert json.dumps([r.key for r in again]) == json.dumps([r.key for r in undisturbed])


MADE_IMMUTABLE = """\
import subprocess, sys
from pathlib import Path
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.suites.note import SuiteNote

path = Path(sys.argv[1])
try:
    with Store(path, create=True) as store:
        store.put_suite(SuiteNote("first", "", (), ()))
        subprocess.run(["chattr", "+i", *path.parent.iterdir(), path.parent], check=True)
        store.put_suite(SuiteNote("second", "", (), ()))
except UserError as error:
    sys.exit(f"told: {error}")
"""


def chattr(how, *files):
    if shutil.which("chattr") is None:
        return False
    return not subprocess.run(["chattr", how, *files], check=False, capture_output=True).returncode


def test_a_store_that_is_made_immutable_is_told(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    if not (chattr("+i", folder) and chattr("-i", folder)):
        pytest.skip("only root may, and not on every file system")
    command = [sys.executable, "-c", MADE_IMMUTABLE, str(folder / "x.db")]
    try:
        left = subprocess.run(command, check=False, capture_output=True, text=True)
    finally:
        chattr("-i", folder, *folder.iterdir())
    assert left.returncode == 1, left
    told = "told: .*a suite cannot be written .x.db was writable and is not any more"
    assert re.match(told, left.stderr)
    with Store(folder / "x.db") as store:
        assert [note.name for note in store.suites()] == ["first"]
