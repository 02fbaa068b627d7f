"""Which edits of the user's code change the keys of which runs."""

import sys

import pytest
from two_strategies import HELPER, PLUGIN, SUITE

from palimpsest.benchmark import plugins
from palimpsest.benchmark.plugins import load_again, load_files, loaded, shipped_modules
from palimpsest.benchmark.plugins.code import ModuleText, UserCode
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.strategies.base.catalogue import STRATEGIES


@pytest.fixture
def project(registries, tmp_path, monkeypatch):
    """A folder on the path with a plugin, a module that it imports, and a suite."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    (tmp_path / "s.yaml").write_text(SUITE)
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "helper.py").write_text(HELPER)
    with registries():
        yield tmp_path
    sys.modules.pop("helper", None)
    sys.modules.pop("palimpsest_plugin_mine", None)
    shipped_modules._FINDER.modules.clear()


def keys(project):
    load_files([project / "mine.py"])
    return {run.strategy: run.key for run in load_suite("s.yaml").runs("cpu", project)}


def repeated(project, file, old, new):
    """The strategies whose runs an edit makes anew."""
    before = keys(project)
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    after = keys(project)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("mine.py", "RATE = 3\n", "RATE = 3  # a comment\n\n# another\n", ""),
        ("mine.py", '"""The first."""', '"""Another docstring."""', ""),
        ("mine.py", "(strength) * RATE", "(\n        strength\n    ) * (RATE)", ""),
        ("mine.py", "= strength\n", "= strength + 1\n", "two"),
        ("mine.py", '"""The first."""', "reach = 3", "one"),
        ("mine.py", "= scaled(strength)", "= scaled(strength) + 1", "one"),
        ("mine.py", "RATE = 3", "RATE = 4", "one"),
        ("mine.py", "float = 1.0", "float = 1.0 + 1", "one two"),
        ("mine.py", "RATE = 3", "import torch\nRATE = 3\ntorch.manual_seed(3)", "one two"),
        ("helper.py", "2 * x", "2 * x  # a comment", ""),
        ("helper.py", "return x", "return x + 1", ""),
        ("helper.py", "2 * x", "3 * x", "one"),
        ("helper.py", '"""Helps."""', "print('imported')", "one two"),
    ],
)
def test_an_edit_repeats_the_runs_that_use_what_changed(project, file, old, new, expected):
    assert repeated(project, file, old, new) == {*expected.split()}


def test_an_edited_module_is_imported_anew(project):
    keys(project)
    assert STRATEGIES["one"](1).strength == 6
    repeated(project, "helper.py", "2 * x", "3 * x")
    assert STRATEGIES["one"](1).strength == 9


def test_another_process_imports_what_was_hashed(project):
    keys(project)
    known = loaded()
    digest = plugins.digest_of("strategy", "one")
    (project / "helper.py").write_text(HELPER.replace("2 * x", "an edit under way"))
    plugins._forget(str((project / "mine.py").resolve()))
    del sys.modules["helper"]
    load_again(known)
    assert STRATEGIES["one"](1).strength == 6
    assert plugins.digest_of("strategy", "one") == digest


def test_a_network_of_a_module_is_keyed_by_what_it_uses(project):
    text = "import helper\n\n\nclass Net:\n    size = helper.twice(3)\n\n\nclass Other:\n    pass\n"
    (project / "nets.py").write_text(text)

    def digest():
        return plugins._digest([("nets", "Net")], "nets")

    before = digest()
    (project / "nets.py").write_text(text + "    # a comment\n    size = 3\n")
    assert digest() == before
    (project / "helper.py").write_text(HELPER.replace("2 * x", "3 * x"))
    assert digest() != before


def code_of(text, **others):
    modules = [ModuleText("own", "own.py", text)]
    modules += [ModuleText(name, f"{name}.py", other) for name, other in others.items()]
    return UserCode(modules).digest([("own", "Mine")])


NOT_ATTRIBUTED = {
    "star import": ("from there import *\nclass Mine:\n    x = f()\n", "there"),
    "getattr": ("import there\nclass Mine:\n    x = getattr(there, 'f')()\n", "there"),
    "exec": ("class Mine:\n    x = eval('f()')\ndef f(): return 1\n", None),
    "registry": (
        "ALL = {}\ndef add(f):\n    ALL[f.__name__] = f\n@add\ndef f(): return 1\n"
        "class Mine:\n    x = ALL\n",
        None,
    ),
    "import in a function": (
        "class Mine:\n    def go(self):\n        import there\n        return there.f()\n",
        "there",
    ),
    "import of a module by a text": (
        "from importlib import import_module\nclass Mine:\n    x = import_module('there').f()\n",
        "there",
    ),
}


@pytest.mark.parametrize("case", NOT_ATTRIBUTED)
def test_what_cannot_be_attributed_counts_whole(case):
    text, other = NOT_ATTRIBUTED[case]
    function = "def f(): return 1\n"
    if other is None:
        assert code_of(text) != code_of(text.replace("return 1", "return 2"))
    else:
        changed = function.replace("1", "2")
        assert code_of(text, there=function) != code_of(text, there=changed)
