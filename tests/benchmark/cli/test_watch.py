"""``palimpsest watch``: a page for this machine's user alone, of a store that is only read."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from command_line import command
from stored_runs import CURVES, a_run

from palimpsest.benchmark.cli.commands.watch import Watched
from palimpsest.benchmark.cli.report_maker import ReportMaker
from palimpsest.benchmark.cli.watch_server import WatchServer
from palimpsest.benchmark.results.selection import Selection
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.store.active_runs import STALE
from palimpsest.benchmark.store.archive import archive
from palimpsest.benchmark.store.heartbeat import Heartbeat
from palimpsest.benchmark.store.liveness import Liveness
from palimpsest.benchmark.store.store import Record, Store

TOKEN = "a-token"


@pytest.fixture(scope="module")
def server():
    with WatchServer(0, TOKEN, lambda: "<p>page", lambda: {"new": 1}) as opened:
        threading.Thread(target=opened.serve_forever, daemon=True).start()
        yield opened
        opened.shutdown()


def ask(server, method="GET", path=f"/{TOKEN}/", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    headers = {} if host is None else {"Host": host.replace("PORT", str(server.server_port))}
    connection.request(method, path, headers=headers, body="x" if method == "POST" else None)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_who_has_the_address_reads_the_page_and_its_news(server):
    assert server.url == f"http://127.0.0.1:{server.server_port}/{TOKEN}/"
    answer, text = ask(server)
    assert (answer.status, text) == (200, "<p>page")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    answer, text = ask(server, path=f"/{TOKEN}/news", host="localhost:PORT")
    assert (answer.status, json.loads(text)) == (200, {"new": 1})
    assert ask(server, path=f"/{TOKEN}/../runs.db")[0].status == 404


@pytest.mark.parametrize(
    "path", ["/", "", "/news", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", "/?token=a-token", "/é/"]
)
def test_without_the_token_there_is_nothing(server, path):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as plain:
        host = f"Host: 127.0.0.1:{server.server_port}"
        plain.sendall(f"GET {path or '*'} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n".encode())
        told = b"".join(iter(lambda: plain.recv(4096), b"")).decode()
    assert told.startswith("HTTP/1.1 403")
    assert "as palimpsest watch printed it." in told
    assert TOKEN not in told


@pytest.mark.parametrize("host", ["evil.example", "evil.example:PORT", "127.0.0.1", "localhost:1"])
def test_another_name_that_points_here_is_refused(server, host):
    answer, text = ask(server, host=host)
    assert answer.status == 403
    assert "called 127.0.0.1" in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_it_can_only_be_read(server, method):
    answer, _ = ask(server, method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_head_has_no_body(server):
    answer, text = ask(server, "HEAD")
    assert (answer.status, text, answer.headers["Content-Length"]) == (200, "", "7")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", f"/{TOKEN}/"), ("GET", "/"), ("POST", "/"), ("GET", "/ ")]
)
def test_nothing_is_kept_sent_on_or_guessed(server, method, path):
    answer, _ = ask(server, method, path.replace(" ", "%20"))
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_only_this_machine_reaches_it(server):
    assert server.server_address[0] == "127.0.0.1"


# What is told of a store


class Made:
    """In place of what makes reports: notes when one was due."""

    made = None
    problem = ""

    def __init__(self):
        self.asked = []

    def make_if_due(self, runs, mark, *, at_once):
        self.asked.append((runs, mark, at_once))


@pytest.fixture
def path(tmp_path):
    with Store(tmp_path / "runs.db", create=True) as store:
        store.put(Record(**a_run("done").cell(), status="done"))
        failure = Failure(FailureKind.DIVERGED, "DivergedError: the loss became NaN", "Trace ...")
        store.put(Record(**a_run("bad", 10.0).cell(), status="failed", failure=failure))
    return tmp_path / "runs.db"


def test_news_are_what_is_under_way_and_what_failed(path):
    maker = Made()
    watched = Watched(path, maker)
    with Store(path, create=True) as store, Heartbeat(path, 2, 5) as heart:
        heart.progressed((a_run("one", 10.0), a_run("two")), JobProgress(0.25, CURVES), 200.0)
        for _ in range(100):  # its own thread may be writing just now, which it skips then
            heart._write()
            told = json.loads(json.dumps(watched.news(), allow_nan=False))
            (process,) = told["processes"]
            if process["left"]:
                break
            time.sleep(0.05)
        assert process["state"] == "running"
        assert (process["done"], process["total"], process["left"]) == (2, 5, "3 min 20 s")
        (job,) = process["jobs"]
        assert job["label"] == "digits, one, scale 10, seed 3 and 1 more run"
        assert (job["fraction"], job["runs"], job["curves"]) == (0.25, 2, CURVES)
        assert (told["runs"], told["problem"]) == (2, "")
        assert told["report"] == {"version": 0, "runs": 0}
        (failure,) = told["failures"]
        assert failure["label"] == "digits, bad, scale 10, seed 3"
        assert failure["kind"] == "diverged"
        assert failure["message"] == "DivergedError: the loss became NaN"
        assert set(maker.asked) == {(2, store.latest()[1], False)}

        store.put(Record(**a_run("bad", 10.0).cell(), status="done", started="later"))
        assert watched.news()["failures"] == []
    assert watched.news()["processes"] == []
    assert [at_once for _, _, at_once in maker.asked][-2:] == [False, True]


def test_a_killed_suite_has_stopped_and_an_interrupted_one_says_so(path):
    with Store(path, create=True):
        old = Heartbeat(path, 1, 4, lambda: time.time() - STALE - 60)
        old.progressed((a_run(),), JobProgress(0.5), 9.0)
        old._write()
        (process,) = Watched(path, Made()).news()["processes"]
        assert (process["state"], process["left"], process["jobs"]) == ("stopped", "", [])
        assert process["ago"].startswith("1 min 1")
        with pytest.raises(KeyboardInterrupt), Heartbeat(path, 1, 4):
            raise KeyboardInterrupt
    (process,) = Watched(path, Made()).news()["processes"]
    assert (process["state"], process["done"], process["total"]) == ("interrupted", 1, 4)


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
def test_a_process_whose_clock_is_wrong_lives_as_long_as_its_heart_beats(path, monkeypatch, ahead):
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    beats = iter(range(100))
    with Store(path, create=True):
        heart = Heartbeat(path, 1, 4, lambda: time.time() + ahead + next(beats))
        heart._write()
        monkeypatch.setattr("socket.gethostname", lambda: "here")
        now = [0.0]
        watched = Watched(path, Made())
        watched._pulses = Liveness(lambda: now[0])

        def state():
            (process,) = watched.news()["processes"]
            return process["state"]

        assert state() == "stopped"
        heart._write()
        assert state() == "running"
        now[0] += STALE + 1
        assert state() == "stopped"
        heart._write()
        assert state() == "running"


def test_watching_writes_nothing(path):
    before = path.read_bytes()
    path.chmod(0o444)
    watched = Watched(path, Made())
    watched.news()
    assert "runs.db" in watched.page()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_store_that_goes_away_is_told_on_the_page(path):
    watched = Watched(path, Made())
    path.unlink()
    assert "there is no store here" in watched.news()["problem"]


def test_the_report_is_made_elsewhere_and_again_when_runs_have_ended(path):
    limit = time.monotonic() + 600

    def wait(condition):
        while not condition():
            assert time.monotonic() < limit
            time.sleep(0.05)

    with ReportMaker(path) as maker:
        maker.make_if_due(0, None, at_once=True)
        maker.make_if_due(2, "first", at_once=False)
        assert maker.made is None  # nothing waits for it
        maker.make_if_due(2, "second", at_once=True)  # one at a time
        wait(lambda: maker.made or maker.problem)
        first = maker.made
        assert (first.version, first.runs) == (1, 2)
        assert {each.name for each in first.strategies} == {"ties: done", "ties: bad"}
        assert "connect-src 'self'" in first.document
        assert 'data-version="1" data-runs="2"' in first.document
        maker.make_if_due(2, "first", at_once=True)  # nothing has changed
        maker.make_if_due(3, "third", at_once=False)  # too soon
        wait(lambda: not maker._busy)
        assert maker._process.exitcode == 0
        maker._in_a_process = lambda version: f"version {version} cannot be made"
        maker.make_if_due(3, "third", at_once=True)
        wait(lambda: maker.problem)
        assert maker.problem == "version 2 cannot be made"
        assert maker.made is first


def test_the_report_is_of_the_runs_that_were_chosen(path):
    limit = time.monotonic() + 600
    with ReportMaker(path, selection=Selection(strategies=["done"])) as maker:
        maker.make_if_due(2, "first", at_once=True)
        while not (maker.made or maker.problem):
            assert time.monotonic() < limit
            time.sleep(0.05)
        assert '"strategy": "bad"' not in maker.made.document
        assert "(done) in 1 scenario" in maker.made.document
        assert "--strategies done" in maker.made.document
        assert maker.made.runs == 2, "as the store has: what is new is told by it"


# The command


def test_a_wrong_store_is_told_in_a_sentence(path, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("my notes")
    assert command("watch", tmp_path / "notes.txt") == 2
    assert command("watch", tmp_path / "none.db") == 2
    with Store(path) as store:
        (tmp_path / "runs.parquet").write_bytes(archive(store.records()))
    assert command("watch", tmp_path / "runs.parquet") == 2
    out, told = capsys.readouterr()
    assert out == ""
    assert [line.split(": ")[0] for line in told.splitlines()] == ["palimpsest"] * 3
    assert "not a Palimpsest store" in told
    assert "'palimpsest run SUITE --store" in told
    assert "this is an archive" in told


def test_a_port_in_use_is_told_in_a_sentence(path, server, capsys):
    assert command("watch", path, "--port", server.server_port) == 2
    assert f"palimpsest: port {server.server_port}: it cannot be used (" in capsys.readouterr().err


def test_an_interrupt_ends_it_quietly(path):
    program = (
        "import signal\n"  # a shell's background, where tests may run, ignores interrupts
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from palimpsest.benchmark.cli import main; main()"
    )
    watching = subprocess.Popen(
        [sys.executable, "-c", program, "watch", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    line = watching.stdout.readline()
    assert f"Watching {path} at http://127.0.0.1:" in line
    os.killpg(watching.pid, signal.SIGINT)  # as a terminal does
    assert watching.communicate(timeout=60) == ("", "")
    assert watching.returncode == 0
