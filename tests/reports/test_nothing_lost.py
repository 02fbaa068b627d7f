"""No command writes over what it reads, or over what it did not write itself."""

import codecs
import os
import resource
import sqlite3
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.store.store import Store

TEMPLATE = "# {{ suite('paper').runs }} runs\n"
FIGURE = "{{ suite('paper').growth('curve', scenarios=['same'], variants=['finetune']) }}\n"
SUITE = """\
suite: small
seeds: 1
scenarios:
  two_models: {data: digits, steps: 2, width: 4, samples: 50}
strategies:
  finetune: {}
"""
PLUGIN = "STRATEGIES = []\nSCENARIOS = []\n"
OLD_REPORT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="palimpsest">
<title>Palimpsest report: quick</title>
"""
ROOT = Path(__file__).parents[2]


def command(*arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code or 0


def contents(folder):
    """Every file's bytes and mode, and what is a link or a folder."""
    return {
        str(path.relative_to(folder)): (
            str(path.readlink()) if path.is_symlink() else path.is_file() and path.read_bytes(),
            path.lstat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def place(tmp_path, monkeypatch, record):
    """A folder with a store, a template, a suite and a plugin, in which commands run."""
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "sub").mkdir()
    (folder / "page.md.j2").write_text(TEMPLATE)
    (folder / "small.yaml").write_text(SUITE)
    (folder / "mine.py").write_text(PLUGIN)
    with Store(folder / "runs.db", create=True) as store:
        for strategy in ("finetune", "freeze"):
            for seed in range(2):
                store.put(
                    record([[0.9, 0.1], [0.5 + seed / 10, 0.8]], strategy=strategy, seed=seed)
                )
    monkeypatch.chdir(folder)
    return folder


def refused(capsys, place, *arguments):
    """That a command leaves with 2 and a sentence, and with every file as it was."""
    capsys.readouterr()
    before = contents(place)
    assert command(*arguments) == 2
    err = capsys.readouterr().err
    assert contents(place) == before
    assert err.startswith("palimpsest: ")
    assert err.count("\n") == 1
    return err


# An output that is one of the inputs

ALIASES = {
    "same": lambda name: name,
    "dot": lambda name: f"./{name}",
    "detour": lambda name: f"sub/../{name}",
    "absolute": lambda name: Path(name).resolve(),
    "symlink": lambda name: linked(name, os.symlink),
    "hard link": lambda name: linked(name, os.link),
    "link to a link": lambda name: linked(linked(name, os.symlink), os.symlink),
    "linked folder": lambda name: Path(linked(".", os.symlink)) / name,
}
"""Other names of a file."""


def linked(name, link):
    other = f"link{len(list(Path().iterdir()))}.md"
    link(name, other)
    return other


COMMANDS = {
    "report": ("report", "runs.db", "-o", "{}"),
    "page": ("page", "page.md.j2", "--store", "runs.db", "-o", "{}"),
    "run": ("run", "small.yaml", "--plugin", "mine.py", "--store", "{}"),
}
READS = {
    "report": ["runs.db"],
    "page": ["runs.db", "page.md.j2"],
    "run": ["small.yaml", "mine.py"],
}


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize(("name", "given"), [(n, each) for n in READS for each in READS[n]])
def test_no_input_is_written_over(place, capsys, name, given, alias):
    other = ALIASES[alias](given)
    refused(capsys, place, *(str(other) if word == "{}" else word for word in COMMANDS[name]))


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("name", ["report", "page", "run"])
def test_what_belongs_to_a_database_is_not_written(place, capsys, name, suffix, linked):
    commands = COMMANDS | {"run": ("run", "small.yaml", "--store", "{}")}
    other = f"runs.db{suffix}"
    if linked:
        Path("link.md").symlink_to(other)
        other = "link.md"
    err = refused(capsys, place, *(other if word == "{}" else word for word in commands[name]))
    assert "this name is reserved for the database" in err


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_no_store_is_made_where_sqlite_would_delete_a_file_beside_it(place, capsys, suffix):
    """Such as the log of a store that was moved without it."""
    Path(f"new.db{suffix}").write_bytes(b"runs" * 2000)
    err = refused(capsys, place, "run", "small.yaml", "--store", "new.db")
    assert f"new.db{suffix}, which a new store would delete" in err


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_table_is_written_over_an_input(place, capsys, link):
    options = ("--tables", "csv", "--files", "out")
    assert command("report", "runs.db", "-o", "r.html", *options) == 0
    table = next(path for path in Path("out").glob("*.csv") if path.name != "index.csv")
    table.unlink()
    link(Path("runs.db").resolve(), table)
    assert "would write over runs.db" in refused(capsys, place, "report", "runs.db", *options)
    assert not Path("report.html").exists()


def test_no_figure_of_a_page_is_written_over_an_input(place, capsys):
    Path("page.md.j2").write_text(FIGURE)
    Path("out").mkdir()
    os.link("page.md.j2", "out/curve.svg")
    err = refused(capsys, place, "page", "page.md.j2", "--store", "runs.db", "-o", "out.md")
    assert "would write over page.md.j2" in err


def test_two_files_of_one_name_are_refused(place, capsys):
    options = ("-o", "index.csv", "--files", ".", "--tables", "csv")
    assert "two files" in refused(capsys, place, "report", "runs.db", *options)


# An output that is something else

FOREIGN = {
    "database": lambda path: sqlite3.connect(path).executescript("CREATE TABLE a (b)").close(),
    "template": lambda path: path.write_text(TEMPLATE),
    "suite": lambda path: path.write_text(SUITE),
    "text": lambda path: path.write_text("mine\n"),
    "page": lambda path: path.write_text("# Notes\n\nWritten by hand, not by palimpsest page.\n"),
    "html": lambda path: path.write_text("<!DOCTYPE html>\n<html><head><title>Mine</title>\n"),
    "latex": lambda path: path.write_text("\\begin{table}\n\\end{table}\n"),
    "svg": lambda path: path.write_text('<?xml version="1.0"?>\n<svg width="1"></svg>\n'),
    "png": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kind", FOREIGN)
def test_no_file_of_another_kind_is_written_over(place, capsys, name, kind):
    FOREIGN[kind](place / "there.md")
    refused(capsys, place, *("there.md" if word == "{}" else word for word in COMMANDS[name]))


def test_an_index_of_another_is_not_written_over(place, capsys):
    Path("index.csv").write_text("a,b\n1,2\n")
    options = ("--tables", "csv", "--files", ".")
    assert "index.csv" in refused(capsys, place, "report", "runs.db", *options)


def test_a_figure_of_ones_own_beside_tables_of_a_report_is_kept(place, capsys):
    report = ("report", "runs.db", "-o", "d.html", "--files", "out")
    assert command(*report, "--tables", "csv") == 0
    FOREIGN["png"](Path("out/scenario-same-plane.png"))
    assert "scenario-same-plane.png" in refused(capsys, place, *report, "--figures", "png")


def test_a_figure_beside_a_page_replaces_no_figure_of_another(place, capsys):
    Path("page.md.j2").write_text(FIGURE)
    Path("out").mkdir()
    FOREIGN["svg"](Path("out/curve.svg"))
    err = refused(capsys, place, "page", "page.md.j2", "--store", "runs.db", "-o", "out.md")
    assert "out/curve.svg" in err


@pytest.mark.parametrize("there", ["far.py", "test_far.py", "far.yaml"])
@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere.py")])
def test_new_writes_over_nothing(place, capsys, there, make):
    make(Path(there))
    assert f"{there} already exists" in refused(capsys, place, "new", "strategy", "far")


# What is a command's own


def test_everything_of_ones_own_is_written_again(place):
    report = ("report", "runs.db", "--tables", "csv,latex", "--figures", "svg")
    Path("page.md.j2").write_text(FIGURE)
    page = ("page", "page.md.j2", "--store", "runs.db", "-o", "out.md")
    for each in (report, page):
        assert command(*each) == 0
    before = contents(place)
    assert {"report.html", "report_files/index.csv", "out.md", "out/curve.svg"} <= set(before)
    for each in (report, page):
        assert command(*each) == 0
    assert contents(place) == before


@pytest.mark.parametrize(
    ("start", "arguments"),
    [
        ("", ("report", "runs.db", "-o", "there.md")),
        (OLD_REPORT, ("report", "runs.db", "-o", "there.md")),
        ("", ("page", "page.md.j2", "--store", "runs.db", "-o", "there.md")),
        (
            "> A note.\n\n<!-- Written by 'palimpsest page' from a.j2: edit that, not this. -->\n",
            ("page", "page.md.j2", "--store", "runs.db", "-o", "there.md"),
        ),
    ],
)
def test_empty_files_and_those_of_earlier_versions_are_written_over(place, start, arguments):
    Path("there.md").write_text(start)
    assert command(*arguments) == 0
    assert Path("there.md").read_text() not in {"", start}


def test_the_page_in_the_documentation_can_be_made_again(tmp_path):
    from palimpsest.reports.markdown.template import FIGURE as figure
    from palimpsest.reports.markdown.template import PAGE as page

    assert page.has(ROOT / "docs" / "reproduction.md")
    assert not page.has(ROOT / "docs" / "speed.md")
    assert not page.has(ROOT / "docs" / "reproduction" / "reproduction.md.j2")
    figures = list((ROOT / "docs" / "reproduction").glob("*.svg"))
    assert figures
    assert all(figure.has(path) for path in figures)


def test_a_link_stays_a_link_and_a_file_keeps_its_mode(place):
    assert command("report", "runs.db", "-o", "sub/r.html") == 0
    Path("sub/r.html").write_text(OLD_REPORT)
    Path("sub/r.html").chmod(0o640)
    Path("link.html").symlink_to("sub/r.html")
    assert command("report", "runs.db", "-o", "link.html") == 0
    assert Path("link.html").readlink() == Path("sub/r.html")
    assert Path("sub/r.html").read_text().startswith(OLD_REPORT[:40])
    assert Path("sub/r.html").read_text() != OLD_REPORT
    assert stat.S_IMODE(Path("sub/r.html").stat().st_mode) == 0o640


def test_a_new_file_has_the_mode_of_any_new_file(place):
    before = os.umask(0o027)
    try:
        assert command("report", "runs.db", "-o", "new/r.html") == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("new/r.html").stat().st_mode) == 0o640


# A write that fails


@contextmanager
def full_beyond(limit):
    """No file can grow beyond a limit, as on a disk that becomes full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        (("report", "runs.db", "--tables", "csv"), 20_000),
        (("report", "runs.db", "-o", "new/folder/r.html"), 20_000),
        (("page", "page.md.j2", "--store", "runs.db", "-o", "out.md"), 20),
        (("new", "strategy", "far"), 500),
    ],
)
def test_a_full_disk_leaves_everything_as_it_was(place, capsys, arguments, limit):
    Path("report.html").write_text(OLD_REPORT)
    with full_beyond(limit):
        err = refused(capsys, place, *arguments)
    assert "cannot be written (File too large)" in err


def test_a_full_disk_keeps_the_runs_that_were_stored(place, capsys, monkeypatch, record):
    def carry_out(runs, *_):
        yield replace(record([[0.5]], strategy="ewc"), key=runs[0].key)
        yield replace(record([[0.5]], strategy="si", error="x" * 100_000), key=runs[0].key)

    monkeypatch.setattr("palimpsest.benchmark.orchestration.loop.run_jobs", carry_out)
    with full_beyond(60_000):
        assert command("run", "small.yaml", "--store", "runs.db", "--quiet", "--hold", "0") == 2
    err = capsys.readouterr().err
    assert "runs.db: a run cannot be written" in err
    assert err.count("\n") == 1
    with Store("runs.db") as store:
        kept = store.records()
    assert {run.strategy for run in kept} == {"finetune", "freeze", "ewc"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.open"])
def test_nothing_half_is_left_where_writing_stops(place, monkeypatch, error, step):
    """A page and its figure: neither the earlier ones nor new ones, whatever stops where."""
    page = ["page", "page.md.j2", "--store", "runs.db", "-o", "out.md"]
    Path("page.md.j2").write_text(FIGURE)
    assert command(*page) == 0
    Path("page.md.j2").write_text(FIGURE.replace("finetune", "freeze"))
    before = contents(place)
    owner, _, name = step.rpartition(".")
    owner = os if owner == "os" else Path
    real = getattr(owner, name)

    def stop(*given, **options):
        if name == "open" and given[1:] != ("xb",):
            return real(*given, **options)
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, stop)
        with pytest.raises((SystemExit, KeyboardInterrupt)) as left:
            main(page)
    assert not isinstance(left.value, SystemExit) or left.value.code != 0
    assert contents(place) == before
    assert command(*page) == 0
    assert contents(place) != before


@pytest.fixture
def unprivileged(place, monkeypatch):
    """The folder where permissions count, and the rights of a user whom they bind."""
    if os.geteuid():
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="palimpsest-") as folder:
        elsewhere = Path(folder)
        for path in place.iterdir():
            path.rename(elsewhere / path.name)
        for path in [elsewhere, *elsewhere.iterdir()]:
            os.chown(path, 65534, 65534)
        monkeypatch.chdir(elsewhere)
        codecs.lookup("utf-8-sig")  # nobody cannot read Python's own files where root installed it
        os.seteuid(65534)
        try:
            yield elsewhere
        finally:
            os.seteuid(0)


READING = [
    ("report", "runs.db", "-o", "out/r.html"),
    ("page", "page.md.j2", "--store", "runs.db", "-o", "out/p.md"),
    ("compare", "runs.db", "copy.db"),
    ("list", "runs", "--store", "runs.db"),
    ("run", "small.yaml", "--store", "runs.db", "--dry-run"),
]


@pytest.mark.parametrize("what", ["file", "folder", "both"])
@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: arguments[0])
def test_a_store_that_cannot_be_written_can_be_read(unprivileged, arguments, what):
    Path("copy.db").write_bytes(Path("runs.db").read_bytes())
    Path("out").mkdir()
    if what != "folder":
        Path("runs.db").chmod(0o444)
    if what != "file":
        unprivileged.chmod(0o555)
    before = contents(unprivileged)
    try:
        assert command(*arguments) == 0
        after = contents(unprivileged)
        assert {name: after[name] for name in before} == before
        assert all(name.startswith("out/") for name in after.keys() - before.keys())
    finally:
        unprivileged.chmod(0o755)


@pytest.mark.parametrize("index", [True, pytest.param(False, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("read_only", [None, "file", "folder"])
@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: arguments[0])
def test_a_killed_run_is_read_without_a_change(unprivileged, record, arguments, read_only, index):
    """Its last runs stay in the log beside the store; SQLite may make its index of it anew."""
    if read_only == "folder" and not index:
        return  # SQLite needs an index, and cannot make one here
    Path("copy.db").write_bytes(Path("runs.db").read_bytes())
    Path("out").mkdir()
    Path("killed").mkdir()
    with Store("runs.db", create=True) as store:
        store.put(record([[0.5]], strategy="ewc"))
        for name in (
            "runs.db",
            "runs.db-wal",
            "runs.db-shm",
        ):  # what is on disk before it is closed
            Path("killed", name).write_bytes(Path(name).read_bytes())
    for path in Path("killed").iterdir():
        path.replace(path.name)
    Path("killed").rmdir()
    if not index:
        Path("runs.db-shm").unlink()
    if read_only:
        Path("runs.db" if read_only == "file" else ".").chmod(
            0o444 if read_only == "file" else 0o555
        )
    before = contents(unprivileged)
    try:
        assert command(*arguments) == 0
        after = contents(unprivileged)
    finally:
        unprivileged.chmod(0o755)
    assert before.pop("runs.db-wal") == after.pop("runs.db-wal")
    for found in (before, after):
        found.pop("runs.db-shm", None)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith("out/") for name in after.keys() - before.keys())
    with Store("runs.db") as store:
        assert {run.strategy for run in store.records()} == {"finetune", "freeze", "ewc"}


@pytest.mark.parametrize(
    ("forbid", "arguments", "message"),
    [
        ("sub:555", ("report", "runs.db", "-o", "sub/r.html"), "Permission denied"),
        ("sub:555", ("report", "runs.db", "-o", "sub/new/r.html"), "Permission denied"),
        ("sub:000", ("report", "runs.db", "-o", "sub/r.html"), "Permission denied"),
        ("sub:000", ("report", "sub/runs.db"), "Permission denied"),
        ("sub:000", ("run", "sub/small.yaml"), "Permission denied"),
        ("sub:000", ("run", "small.yaml", "--store", "sub/r.db"), "Permission denied"),
        ("runs.db:000", ("report", "runs.db"), "Permission denied"),
        ("runs.db:444", ("run", "small.yaml", "--store", "runs.db"), "read-only"),
        ("page.md.j2:000", ("page", "page.md.j2", "--store", "runs.db", "-o", "p.md"), "denied"),
        ("small.yaml:000", ("run", "small.yaml"), "Permission denied"),
        ("old.html:444", ("report", "runs.db", "-o", "old.html"), "read-only"),
        (".:555", ("new", "strategy", "far"), "Permission denied"),
        (".:555", ("run", "small.yaml"), "unable to open"),
    ],
)
def test_what_is_forbidden_is_said(unprivileged, capsys, monkeypatch, forbid, arguments, message):
    monkeypatch.setattr(
        "palimpsest.benchmark.orchestration.loop.run_jobs",
        lambda *_: pytest.fail("trained in vain"),
    )
    Path("old.html").write_text(OLD_REPORT)
    name, _, mode = forbid.partition(":")
    capsys.readouterr()
    before = contents(unprivileged)
    Path(name).chmod(int(mode, 8))
    try:
        assert command(*arguments) == 2
    finally:
        Path(name).chmod(before[name][1] if name in before else 0o755)
    err = capsys.readouterr().err
    assert contents(unprivileged) == before
    assert message in err
    assert err.count("\n") == 1


# What is read is damaged

DAMAGED = {
    "empty": b"",
    "binary": bytes(range(256)),
    "latin-1": "suite: é\n---\n".encode("latin-1"),
    "utf-16": SUITE.encode("utf-16"),
    "cut": "suite: é".encode()[:-1],
    "a date in month 13": b"---\na: 2026-13-45\n---\n",
    "folder": None,
}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("page.md.j2", ("page", "page.md.j2", "--store", "runs.db", "-o", "out.md")),
        ("small.yaml", ("run", "small.yaml")),
        ("mine.py", ("run", "small.yaml", "--plugin", "mine.py")),
        ("mine.py", ("list", "strategies", "--plugin", "mine.py")),
    ],
)
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_said_in_a_sentence(place, capsys, name, arguments, damage):
    if (name, damage) == ("page.md.j2", "empty"):
        return  # an empty template is a template
    Path(name).unlink()
    if damage == "folder":
        Path(name).mkdir()
    else:
        Path(name).write_bytes(DAMAGED[damage])
    refused(capsys, place, *arguments)
