"""The command line as a user meets it: output, exit codes, and nothing written by mistake."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys

import pytest
from command_line import command

from palimpsest.benchmark.cli.stopping import Stopped, stopped_by_signals
from palimpsest.benchmark.metrics import FINETUNE_FORGETTING, METRICS
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.scenarios.settings.optimizers import SGD, Adam, RMSprop
from palimpsest.benchmark.scenarios.settings.scenario import Curve
from palimpsest.benchmark.settings.text import default_text
from palimpsest.benchmark.store.store import Store

SUITE = """\
suite: small
description: Does it protect?
seeds: 2
scenarios:
  two_models: {data: digits, steps: 30, width: 20, curve: {every: 10}}
strategies:
  finetune: {}
  wpl: {strengths: [1e6], samples: 50}
"""

CONTRACT = {
    "key",
    "suite",
    "settings",
    "scenario",
    "strategy",
    "strength",
    "seed",
    "status",
    "error",
    "metrics",
    "accuracy_matrix",
    "spec",
}


def process(*arguments, **options):
    code = "from palimpsest.benchmark.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A suite that was run once, in this process: its folder."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "small.yaml").write_text(SUITE)
    code = command("run", folder / "small.yaml", "--store", folder / "r.db", "--workers", 1)
    assert code == 0
    return folder


def listed(store, capsys):
    capsys.readouterr()
    assert command("list", "runs", "--store", store, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_runs_are_listed_as_the_contract_says(done, capsys):
    runs = listed(done / "r.db", capsys)
    assert len(runs) == 4
    for run in runs:
        assert set(run) == CONTRACT
        assert set(run["metrics"]) == {*METRICS, FINETUNE_FORGETTING}
        assert run["status"] == "done"
        assert run["error"] is None
        assert len(run["accuracy_matrix"]) == 2
    wpl = next(run for run in runs if run["strategy"] == "wpl")
    assert wpl["strength"] == 1e6
    assert 0 <= wpl["metrics"]["average_accuracy"] <= 1
    assert wpl["spec"]["strategy"]["settings"]["samples"] == 50


def test_running_again_runs_nothing(done, capsys):
    before = (done / "r.db").read_bytes()
    assert command("run", done / "small.yaml", "--store", done / "r.db") == 0
    assert "r.db already has all 4 runs." in capsys.readouterr().out
    assert (done / "r.db").read_bytes() == before


def test_only_what_changed_would_run(done, capsys):
    before = (done / "r.db").read_bytes()
    options = ("--store", done / "r.db", "--dry-run", "--set", "strategies.wpl.samples=51")
    assert command("run", done / "small.yaml", *options, "--workers", 1) == 0
    out = capsys.readouterr().out
    assert "2 of 4 runs to do" in out
    assert " with 1 worker: about " in out, "the other runs of these strategies tell it"
    assert "finetune" not in out
    assert (done / "r.db").read_bytes() == before


def test_a_run_prints_a_table_and_where_the_results_are(done, capsys):
    assert command("run", done / "small.yaml", "--store", done / "r.db") == 0
    out = capsys.readouterr().out
    assert "wpl, strength 1e6" in out
    assert "means over seeds; below [95 % interval], or (single seeds)" in out
    assert f"palimpsest report {done / 'r.db'}" in out


def test_run_prints_json_and_nothing_else(done, capsys):
    capsys.readouterr()
    assert command("run", done / "small.yaml", "--store", done / "r.db", "--json") == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 4
    assert captured.err == ""


def test_report_writes_one_file_and_prints_its_path(done, tmp_path, capsys):
    assert command("report", done / "r.db", "--output", tmp_path / "r.html") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "wpl" in text
    assert '<p class="lead clamp">Does it protect?</p>' in text


def test_a_failed_run_is_recorded_and_the_others_go_on(suite, tmp_path, capsys):
    options = ("--store", "f.db", "--workers", 1, "--seeds", 1)
    suite.write_text(
        SUITE.replace(
            "finetune: {}",
            "finetune: {}\n  broken: {strategy: 'avalanche:GSS_greedy', arguments: {mem_size: 5}}",
        )
    )
    assert command("run", suite, *options) == 1
    err = capsys.readouterr().err
    assert "failed: two_models broken seed 0" in err
    statuses = {run["strategy"]: run["status"] for run in listed("f.db", capsys)}
    assert statuses == {"finetune": "done", "broken": "failed", "wpl": "done"}


def test_a_diverging_run_says_so(suite, capsys):
    setting = "scenarios.two_models.optimizer={name: sgd, learning_rate: 1e20}"
    options = ("--store", "d.db", "--workers", 1, "--seeds", 1, "--strategies", "finetune")
    assert command("run", suite, *options, "--set", setting) == 1
    assert "DivergedError: outputs of model 1 are NaN or infinite after" in capsys.readouterr().err
    (run,) = listed("d.db", capsys)
    assert run["status"] == "failed"
    assert "DivergedError" in run["error"]


MISTAKES = [
    (["run", "quik"], "did you mean 'quick'?"),
    (["run", "small.yaml", "--set", "scenarios.two_models.widht=3"], "did you mean 'width'?"),
    (["run", "small.yaml", "--set", "scenarios.two_models.data=mnits"], "did you mean 'mnist'?"),
    (["run", "small.yaml", "--set", "scenarios.two_models.data=folder:no"], "no"),
    (["run", "small.yaml", "--set", "scenarios.two_models.second_data=cifar10"], "the same shape"),
    (
        ["run", "small.yaml", "--set", "scenarios.two_models={family: split, experiences: 3}"],
        "cannot divide evenly",
    ),
    (["run", "small.yaml", "--strategies", "wlp"], "did you mean 'wpl'?"),
    (["run", "small.yaml", "--seeds", "many"], "--seeds many"),
    (["run", "small.yaml", "--device", "tpu"], "expected cpu, cuda"),
    (
        ["run", "small.yaml", "--device", "cuda:99"],
        "finds no such device on this machine; choose cpu",
    ),
    (["run", "small.yaml", "--store", "no/folder/r.db"], "does not exist"),
    (["run", "small.yaml", "--store", "small.yaml"], "not a Palimpsest store"),
    (["run", "small.yaml", "--workers", "0"], "--workers"),
    (["run", "small.yaml", "--scratch", "nowhere"], "scratch folder nowhere: there is no such"),
    (
        ["run", "avalanche.yaml"],
        "avalanche.yaml, line 7: strategies.avalanche:LwG.strategy: Avalanche has no supervised "
        "strategy 'LwG'; did you mean 'LwF'?",
    ),
    (
        ["run", "arguments.yaml"],
        "arguments.yaml, line 9: strategies.theirs.arguments.alhpa: avalanche:LwF: unknown "
        "argument 'alhpa'; did you mean 'alpha'?",
    ),
    (["run"], "Missing argument"),
    (["bogus"], "No such command"),
    (["report", "nothing.db"], "there is no store here"),
    (["list", "runs", "--store", "nothing.db"], "there is no store here"),
    (["show", "strategy", "wlp"], "did you mean 'wpl'?"),
    (["show", "scenario", "spilt"], "did you mean 'split'?"),
    (["show", "suite", "quik"], "did you mean 'quick'?"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_exits_with_2_and_writes_nothing(
    suite, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.setattr("palimpsest.benchmark.suites.suite.require", lambda name, root: None)
    (tmp_path / "avalanche.yaml").write_text(SUITE.replace("finetune:", "'avalanche:LwG':"))
    theirs = "theirs:\n    strategy: avalanche:LwF\n    arguments: {alhpa: 1}"
    (tmp_path / "arguments.yaml").write_text(SUITE.replace("finetune: {}", theirs))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert command(*arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_missing_data_is_told_before_anything_trains(suite, tmp_path, capsys, monkeypatch):
    def no_network(*_):
        raise OSError("no network")

    monkeypatch.setattr("palimpsest.benchmark.data.formats.named.download", no_network)
    options = ("--set", "scenarios.two_models.data=mnist", "--data-root", tmp_path / "empty")
    assert command("run", suite, *options) == 2
    err = capsys.readouterr().err
    assert "mnist" in err
    assert "--data-root" in err
    assert not (tmp_path / "palimpsest.db").exists()


def test_several_suites_and_folders_of_them_run_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "both").mkdir()
    (tmp_path / "empty").mkdir()
    text = SUITE.replace("steps: 30, width: 20", "steps: 2, width: 4").replace(
        "seeds: 2", "seeds: 1"
    )
    for name in ("one", "two"):
        (tmp_path / "both" / f"{name}.yaml").write_text(text.replace("small", name))
    assert command("run", "both/two.yaml", "both", "--store", "a.db", "--workers", 1) == 0
    # The same scenario by its name and settings is one run, kept for the suite that asked first.
    assert suites_in(tmp_path / "a.db") == ["two", "two"]
    capsys.readouterr()
    (tmp_path / "both" / "one.yaml").write_text(text.replace("width: 4", "width: 5"))
    assert command("run", "both", "--store", "a.db", "--workers", 1) == 0
    captured = capsys.readouterr()
    assert "[4/4] done small: two_models wpl 1e6 seed 0: " in captured.err
    shown = captured.out
    assert shown.index("\nsmall, two_models") < shown.index("\ntwo, two_models")
    assert suites_in(tmp_path / "a.db") == ["small", "small", "two", "two"]
    assert command("run", "empty", "--store", "b.db") == 2
    assert "no suites" in capsys.readouterr().err


def suites_in(path):
    with Store(path) as store:
        return sorted(record.suite for record in store.records())


def interruptible():
    """Interrupt the process by SIGINT even where these tests run in a shell's background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (signal.SIGTERM, "stopped by SIGTERM; "),
        pytest.param(signal.SIGINT, "interrupted; ", marks=pytest.mark.thorough),
    ],
)
def test_an_interrupt_keeps_what_was_finished(suite, tmp_path, sent, said):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    suite.write_text(SUITE.replace("seeds: 2", "seeds: 100"))
    running = process(
        "run", suite, "--store", tmp_path / "i.db", "--workers", 2, "--scratch", scratch,
        start_new_session=True, preexec_fn=interruptible,
    )  # fmt: skip
    try:
        for line in running.stderr:
            if line.startswith("[3/"):
                break
        os.killpg(running.pid, sent)
        _, err = running.communicate(timeout=60)
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"it goes on: {(late.stderr or b'').decode()[-3000:]}")
    finally:
        running.kill()
    assert running.returncode == 128 + sent
    assert re.search(rf"palimpsest: {said}\d+ of 200 runs are in .*, the same command", err)
    assert list(scratch.iterdir()) == []
    assert "Traceback" not in err
    with sqlite3.connect(tmp_path / "i.db") as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone()[0] >= 3


@pytest.fixture
def hangs_up():
    """SIGHUP as it is without nohup, under which the tests may run."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangs_up")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_stops_a_job_stops_the_command_once(number):
    before = signal.getsignal(number)
    with stopped_by_signals():
        with pytest.raises(Stopped, match=str(int(number))):
            signal.raise_signal(number)
        signal.raise_signal(number)  # what has to be done at the end is done
    assert signal.getsignal(number) is before


def test_a_command_started_by_nohup_goes_on():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangs_up")
def test_a_signal_before_the_first_run_says_so(suite, monkeypatch, capsys):
    monkeypatch.setattr(
        "palimpsest.benchmark.cli.commands.run.make_plan",
        lambda *_, **__: signal.raise_signal(signal.SIGHUP),
    )
    assert command("run", suite) == 128 + signal.SIGHUP
    assert capsys.readouterr().err == "palimpsest: stopped by SIGHUP; nothing was run\n"


def test_a_run_is_listed_in_one_line_of_a_pipe(done, capsys):
    runs = listed(done / "r.db", capsys)
    assert command("list", "runs", "--store", done / "r.db") == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:6] == ["key", "scenario", "strategy", "strength", "seed", "status"]
    assert header.split()[-2:] == ["seconds", "error"]
    assert [line.split()[0] for line in lines] == [run["key"] for run in runs]
    for run, line in zip(runs, lines, strict=True):
        assert re.search(rf" {run['seed']} +done +\d", line)


def test_listings_name_everything(capsys):
    for what, names in {
        "strategies": ["finetune", "freeze", "independent", "joint", "ewc", "si", "wpl"],
        "scenarios": ["two_models", "model_sequence", "split", "permuted", "rotated"],
        "suites": ["quick", "two_models", "speed"],
        "probes": ["distance", "importance", "similarity", "refit"],
    }.items():
        capsys.readouterr()
        assert command("list", what, "--json") == 0
        rows = {row["name"] for row in json.loads(capsys.readouterr().out)}
        assert rows >= set(names)


def test_a_strategy_is_shown_with_what_a_suite_accepts(capsys):
    assert command("show", "strategy", "ewc") == 0
    out = capsys.readouterr().out
    assert not re.search(r"^  seed\b", out, re.MULTILINE)
    assert "In Python also: seed" in out
    assert command("show", "strategy", "finetune") == 0
    assert "seed" not in capsys.readouterr().out


@pytest.mark.parametrize("name", FAMILIES)
def test_a_scenario_is_shown_with_the_settings_inside_its_settings(capsys, name):
    assert command("show", "scenario", name) == 0
    out = capsys.readouterr().out
    for model in (SGD, Adam, RMSprop, Curve):
        for setting, field in model.model_fields.items():
            if setting != "name":
                shown = rf"^  {setting} = {re.escape(default_text(field))}   \("
                assert re.search(shown, out, re.MULTILINE), setting
    for words in (
        "with name: sgd",
        "with name: adam | adamw",
        "with name: rmsprop",
        "Inside curve",
    ):
        assert words in out


def test_supernets_are_listed_and_shown_with_their_settings(capsys):
    assert command("list", "supernets", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    data = {name: row["data"] for name, row in rows.items()}
    assert data == {
        "convolutional_cell": "images",
        "recurrent_cell": "text",
        "micro_cell": "images",
    }
    for name, row in rows.items():
        assert command("show", "supernet", name) == 0
        out = capsys.readouterr().out
        assert f"{row['architectures']} architectures" in out
        assert row["decisions"] in out
    assert command("show", "supernet", "recurrent_cell") == 0
    out = capsys.readouterr().out
    assert re.search(r"^  hidden = 48   \(int\)", out, re.MULTILINE)
    assert re.search(r"^  weights = 0.5   \(float\)", out, re.MULTILINE)
    assert command("show", "supernet", "micro_sell") == 2
    assert "'micro_cell'" in capsys.readouterr().err


def test_a_shipped_suite_is_shown_as_it_is(capsys):
    assert command("show", "suite", "quick") == 0
    assert capsys.readouterr().out.startswith("# The demonstration")


def test_answers_need_neither_torch_nor_avalanche():
    code = (
        "import sys; from palimpsest.benchmark.cli import main\n"
        "heavy = {'torch', 'avalanche', 'numpy', 'pandas', 'matplotlib', 'scipy', 'sklearn'}\n"
        "for words in sys.argv[1:]:\n"
        "    try: main(words.split())\n"
        "    except SystemExit as left: assert not left.code, words\n"
        "    assert not heavy & set(sys.modules), words\n"
    )
    asked = ["list suites", "list scenarios", "run --help", "speed --help"]
    answer = subprocess.run(
        [sys.executable, "-c", code, *asked], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


def test_progress_is_a_line_a_run_where_there_is_no_terminal(suite, capsys):
    assert command("run", suite, "--store", "p.db", "--workers", 1, "--seeds", 1) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
    assert [line.split()[0] for line in lines] == ["[1/2]", "[2/2]"]
