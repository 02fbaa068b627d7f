"""Why a run failed: its kind, its message and a traceback that names no folder of the machine."""

import sys

import pytest

from palimpsest.benchmark.runs.failure import DivergedError, Failure, FailureKind


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


def caught(error):
    try:
        raise error
    except type(error) as found:
        return Failure.of(found)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DivergedError("the loss became NaN"), FailureKind.DIVERGED),
        (MemoryError(), FailureKind.OUT_OF_MEMORY),
        (OutOfMemoryError("CUDA out of memory"), FailureKind.OUT_OF_MEMORY),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 PB"),
            FailureKind.OUT_OF_MEMORY,
        ),
        (KeyError("x"), FailureKind.ERROR),
        (ValueError("DivergedError: said by another"), FailureKind.ERROR),
        (ValueError("out of memory, says a strategy"), FailureKind.ERROR),
    ],
)
def test_the_kind_is_that_of_the_exception(error, kind):
    found = caught(error)
    assert found.kind is kind
    assert found.message == f"{type(error).__name__}: {error}"


def test_it_comes_back_from_json():
    found = caught(KeyError("x"))
    assert Failure.read(found.to_json()) == found


@pytest.mark.parametrize(
    "data", [{}, {"kind": "error"}, {"kind": "odd", "message": "", "traceback": ""}]
)
def test_another_shape_is_refused(data):
    with pytest.raises(ValueError, match=r"failure|odd"):
        Failure.read(data)


def test_files_are_named_from_where_they_are_imported(tmp_path, monkeypatch):
    package = tmp_path / "lib" / "somewhere"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def call(f):\n    return f()  # inside\n")
    monkeypatch.syspath_prepend(tmp_path)  # the nearest place counts
    monkeypatch.syspath_prepend(tmp_path / "lib")
    plugin = tmp_path / "lib" / "of a user" / "plugin.py"
    code = "import somewhere\ndef fail():\n    raise KeyError('x') from ValueError('y')\n"
    code += "def start():\n    somewhere.call(fail)\n"
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(tmp_path)])
    made = {}
    exec(compile(code, str(tmp_path / "far" / plugin.name), "exec"), made)
    try:
        made["start"]()
    except KeyError as error:
        found = Failure.of(error)
    del sys.modules["somewhere"]
    assert str(tmp_path) not in found.traceback
    assert 'File "somewhere/__init__.py", line 2, in call\n    return f()  # inside' in (
        found.traceback
    )
    assert 'File "plugin.py", line 3, in fail' in found.traceback
    assert "ValueError: y\n\nThe above exception was the direct cause" in found.traceback


def test_the_cause_of_a_cause_is_named_without_folders_too():
    def inner():
        raise ValueError("inside")

    try:
        try:
            inner()
        except ValueError as error:
            raise ExceptionGroup("several", [error, KeyError("x")]) from error
    except ExceptionGroup as group:
        found = Failure.of(group)
    assert found.traceback.count("raise ValueError") == 2
    assert 'File "/' not in found.traceback


def test_a_long_traceback_is_cut_in_the_middle():
    found = caught(ValueError("x" * 100_000 + "the end"))
    assert len(found.traceback) < 21_000
    assert found.traceback.startswith("Traceback")
    assert found.traceback.endswith("the end\n")


def test_a_message_that_is_no_unicode_is_escaped_and_a_long_one_cut():
    assert caught(OSError("no file bad\udce9.csv")).message == "OSError: no file bad\\udce9.csv"
    assert "\\udce9" in caught(OSError("no file bad\udce9.csv")).traceback
    assert len(caught(ValueError("x" * 10_000_000)).message) < 30_000


def test_an_exception_whose_message_cannot_be_read_is_told():
    class OddError(Exception):
        def __str__(self):
            raise KeyError

    assert caught(OddError()).message == "OddError: (its message cannot be read: KeyError)"
