"""What the README shows is what works."""

import re
import shlex
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.suite import load_suite

README = Path(__file__).parents[1] / "README.md"


def blocks(language):
    found = re.findall(r"```(\w*)\n(.*?)```", README.read_text(), flags=re.DOTALL)
    return [text for name, text in found if name == language]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code):
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("text", blocks("yaml"))
def test_suites_are_valid(text, tmp_path):
    (tmp_path / "suite.yaml").write_text(text)
    assert load_suite(str(tmp_path / "suite.yaml")).runs("cpu", tmp_path)


COMMANDS = [
    shlex.split(line.removeprefix("$ palimpsest"), comments=True)
    for block in blocks("console")
    for line in block.splitlines()
    if line.startswith("$ palimpsest")
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_commands_are_understood(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "run":
        arguments = [*arguments, "--dry-run"]
    with pytest.raises(SystemExit) as left:
        main(arguments)
    err = capsys.readouterr().err
    assert left.value.code == 0 or "there is no store here" in err


def test_every_module_it_names_exists():
    (tree,) = blocks("")
    root, folder = README.parent, ""
    for line in tree.splitlines():
        name = line.split()[0]
        folder = name if not line.startswith(" ") else folder
        assert (root / (name if name == folder else folder + name)).exists(), name
