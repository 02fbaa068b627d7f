"""What listings say of strategies is kept in the user's cache, and is always that of the files."""

import shutil
import subprocess
import sys

import pytest

from palimpsest.benchmark.data.cache import STRATEGIES as KEPT
from palimpsest.benchmark.data.cache import cache_folder
from palimpsest.benchmark.suites import catalogue
from palimpsest.benchmark.suites.catalogue import ShownStrategy, shown_strategy
from palimpsest.strategies.base.catalogue import FOLDER, STRATEGIES


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A cache of its own, and a function that lets it be asked anew: whether classes were asked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = []
    look = ShownStrategy.of.__func__
    monkeypatch.setattr(
        ShownStrategy, "of", classmethod(lambda cls, each: asked.append(each) or look(cls, each))
    )

    def shown():
        catalogue._shipped.cache_clear()
        asked.clear()
        told = {name: shown_strategy(name) for name in STRATEGIES.shipped}
        assert told == {name: look(ShownStrategy, STRATEGIES[name]) for name in told}
        return len(asked) > 0

    yield shown
    catalogue._shipped.cache_clear()


def kept():
    (file,) = (cache_folder() / KEPT).iterdir()
    return file


def test_classes_are_asked_once(fresh):
    assert [fresh(), fresh(), fresh()] == [True, False, False]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"digest": 1}', "half"])
def test_a_damaged_file_is_made_anew(fresh, damage):
    fresh()
    text = kept().read_text()
    kept().write_text(text[: len(text) // 2] if damage == "half" else damage)
    assert [fresh(), fresh()] == [True, False]
    assert kept().read_text() == text


def test_where_nothing_can_be_written_classes_are_asked_each_time(fresh, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert [fresh(), fresh()] == [True, True]


@pytest.mark.parametrize("file", ["mas.py", "base/facts.py", "penalty/regularizer.py"])
def test_an_edit_of_any_file_makes_it_anew(fresh, tmp_path, monkeypatch, file):
    copy = tmp_path / "strategies"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(catalogue.catalogue, "FOLDER", copy)
    assert [fresh(), fresh()] == [True, False]
    with (copy / file).open("a") as text:
        text.write("# edited")
    assert [fresh(), fresh()] == [True, False]
    assert kept()


def test_answers_need_neither_torch_nor_avalanche():
    shown_strategy("wpl")  # it is kept from here on
    code = (
        "import sys; from palimpsest.benchmark.cli import main\n"
        "heavy = {'torch', 'avalanche', 'numpy', 'pandas', 'matplotlib', 'scipy', 'sklearn'}\n"
        "for words in sys.argv[1:]:\n"
        "    try: main(words.split())\n"
        "    except SystemExit as left: assert not left.code, words\n"
        "    assert not heavy & set(sys.modules), words\n"
    )
    asked = ["list strategies", "show strategy wpl", "report --help", "--help"]
    command = [sys.executable, "-c", code, *asked]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
