"""Standard output is the command's own, and nothing that is printed commands the terminal."""

import json
import os
import subprocess
import sys

import pytest

from benchmark.cli import main
from benchmark.cli.console import table_console
from benchmark.cli.output import claim_output, in_a_line, output_restored, printable, say

TALKATIVE = """\
import os
from dataclasses import dataclass

from benchmark.metrics import Metric
from strategies.hooks import SupervisedPlugin
from strategies.registry import StrategyEntry

print("imported")
os.write(1, b"from C\\n")


@dataclass
class TalkativeSettings:
    pass


class Talkative(SupervisedPlugin):
    def before_training_exp(self, *_, **__):
        print("training")
        os.write(1, b"from C, training\\n")


def chatter(matrix):
    print("measured")
    return 1.0


STRATEGIES = [
    StrategyEntry("talkative", "Talkative", __name__, TalkativeSettings, "talks", "nowhere")
]
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
    start = "from benchmark.cli import main; main()"
    command = [sys.executable, "-c", start, *words, *HARMLESS.split()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def test_what_a_plugin_prints_is_not_in_json(folder):
    out, err = palimpsest(folder, "run", "suite.yaml", "--json")
    assert {run["strategy"] for run in json.loads(out)} == {"talkative", "fine\x1b[2Jtune"}
    for text in ("imported", "from C\n", "training", "from C, training"):
        assert text in err
    assert "\x1b" not in out


def test_names_with_control_characters_are_printed_without(folder):
    for words in (["run", "suite.yaml"], ["list", "runs"]):
        out, err = palimpsest(folder, *words)
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
