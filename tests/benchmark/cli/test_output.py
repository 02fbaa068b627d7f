"""Standard output is the command's own, and nothing that is printed commands the terminal."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.cli.commands import run
from palimpsest.benchmark.cli.printing.console import table_console
from palimpsest.benchmark.cli.printing.output import (
    claim_output,
    in_a_line,
    output_restored,
    printable,
    say,
)
from palimpsest.benchmark.store.store import Store

TALKATIVE = """\
import os
from palimpsest.benchmark.metrics import Metric
from palimpsest.strategies.base.hooks import SupervisedPlugin
from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import StrategySettings

print("imported")
os.write(1, b"from C\\n")


class Talkative(SupervisedPlugin):
    facts = Facts("talkative", "talks", "nowhere")
    Settings = StrategySettings

    def before_training_exp(self, *_, **__):
        print("training")
        os.write(1, b"from C, training\\n")


def chatter(matrix):
    print("measured")
    return 1.0


METRICS = [Metric("chatter", chatter, "what it says")]
"""

SUITE = """\
suite: "a\\e[31mb"
seeds: 1
scenarios:
  "turned\\e]0;title\\a": {family: two_models, data: digits, samples: 50, steps: 2, width: 3}
strategies:
  talkative: {}
  "fine\\e[2Jtune": {strategy: finetune}
"""

HARMLESS = "--store runs.db --plugin talkative.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("talkative")
    (path / "talkative.py").write_text(TALKATIVE)
    (path / "suite.yaml").write_text(SUITE)
    return path


def palimpsest(folder, *words):
    start = "from palimpsest.benchmark.cli import main; main()"
    command = [sys.executable, "-c", start, *words, *HARMLESS.split()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


@pytest.mark.thorough
def test_what_a_plugin_prints_is_not_in_json(folder):
    out, err = palimpsest(folder, "run", "suite.yaml", "--json")
    assert {run["strategy"] for run in json.loads(out)} == {"talkative", "fine\x1b[2Jtune"}
    for text in ("imported", "from C\n", "training", "from C, training"):
        assert text in err
    assert "\x1b" not in out


def test_names_with_control_characters_are_printed_without(folder, registries, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    for words in (["run", "suite.yaml"], ["list", "runs"]):
        with registries(), pytest.raises(SystemExit) as left:
            main([*words, *HARMLESS.split()])
        assert not left.value.code
        out, err = capfd.readouterr()
        assert "\x1b" not in out + err
        assert "\\x1b" in out


def test_a_message_has_no_control_characters(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "\x1b[31mred.yaml")])
    assert ended.value.code == 2
    assert "\\x1b[31mred.yaml" in capsys.readouterr().err


def test_printable_keeps_text_in_any_language():
    for text in ("Grüße, 日本語, हिन्दी, 👩‍💻", "two\nlines\tand a tab"):
        assert printable(text) == text
    assert in_a_line("two\nlines\r") == "two\\nlines\\r"
    assert printable("\u202egnitirw \x9b31m \udcff") == "\\u202egnitirw \\x9b31m \\udcff"


def test_output_is_claimed_until_the_command_ends(capsys):
    with output_restored():
        claim_output()
        print("somebody")
        say("the command")
        table_console().print("a table")
    print("after")
    out, err = capsys.readouterr()
    assert (out, err) == ("the command\na table\nafter\n", "somebody\n")


def test_what_a_running_suite_says_has_no_control_characters(tmp_path, monkeypatch, capsys):
    """Its store is locked meanwhile, and its path has characters that would command a terminal."""
    for wait in ("writer._WAIT_SECONDS", "heartbeat._PATIENCE"):
        monkeypatch.setattr(f"palimpsest.benchmark.store.{wait}", 0.0)
    store = tmp_path / "a\x1b[31m\u202eb.db"
    suite = {
        "suite": "s",
        "seeds": 1,
        "scenarios": {"two_models": {"data": "digits", "samples": 50, "steps": 2, "width": 3}},
        "strategies": {"fine\x1b[2Jtune": {"strategy": "finetune"}},
    }
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    Store(store, create=True).close()
    real = run.make_display

    def locked(*arguments, **options):
        """A display that locks the store at the first news."""
        display = real(*arguments, **options)
        tell = display.tell

        def lock_and_tell(news):
            if not other.in_transaction:
                other.execute("BEGIN IMMEDIATE")
            tell(news)

        display.tell = lock_and_tell
        return display

    monkeypatch.setattr(run, "make_display", locked)
    lock = sqlite3.connect(store, isolation_level=None, check_same_thread=False)
    with closing(lock) as other, pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "suite.yaml"), "--store", str(store), "--hold", "0"])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert not {"\x1b", "\u202e"} & {*out, *err}
    assert "a\\x1b[31m\\u202eb.db: a run cannot be written" in err
    assert "a\\x1b[31m\\u202eb.db.rescued; the next run takes them in" in err
    assert "fine\\x1b[2Jtune" in err
