"""Runs as one Parquet file: exact, the same bytes again, and told apart from other files."""

import math
import random

import pytest
from command_line import command
from known_facts import facts_of
from pyarrow.parquet import ParquetFile

from palimpsest.benchmark.errors import Remark, UserError
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.store import archive as module
from palimpsest.benchmark.store.archive import (
    archive,
    is_archive,
    is_marked,
    read_archive,
    read_runs,
    read_suites,
)
from palimpsest.benchmark.store.store import Record, Store, SuiteNote
from palimpsest.benchmark.suites.spec import Spec

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def run(key, strategy="wpl", **changes):
    rng = random.Random(key)
    numbers = [rng.random() * 10.0 ** rng.randint(-300, 0) for _ in range(50)]
    values = {
        "key": key,
        "suite": "suite",
        "scenario": "s",
        "strategy": strategy,
        "strength": rng.random(),
        "seed": 0,
        "status": "done",
        "spec": Spec({"scenario": {"name": "s"}, "strategy": {"strategy": strategy}, "seed": 0}),
        "facts": facts_of(strategy),
        "accuracy_matrix": [[rng.random(), 0.1], [rng.random(), rng.random()]],
        "curves": [{"model": 0, "steps": [*range(50)], "accuracy": [numbers]}],
        "probes": {"refit": {"rows": [{"after": 0.1 + 0.2, "least": 5e-324}]}},
        "cost": {"state_bytes": 2**40, "word": "naïve \u2028 \0 🙂"},
        "seconds": 0.1 + 0.2,
        "peak_memory": 2**40,
        "started": "2026-01-01T00:00:00+00:00",
    }
    return Record(**values | changes)


@pytest.fixture
def store(tmp_path):
    failure = Failure(FailureKind.ERROR, "diverged:\n  step 3")
    failed = run("c", status="failed", failure=failure, accuracy_matrix=[], curves=[])
    with Store(tmp_path / "runs.db", create=True) as made:
        for each in (run("a"), run("b", "finetune", strength=None), failed):
            made.put(each)
    return tmp_path / "runs.db"


@pytest.fixture
def packed(store, tmp_path):
    assert command("archive", "--store", store, "--output", tmp_path / "runs.parquet") == 0
    return tmp_path / "runs.parquet"


def test_every_run_comes_back_to_the_last_bit(store, packed):
    records = read_runs(store)
    assert read_runs(packed) == records
    assert repr(read_runs(packed)) == repr(records)  # the order of keys, too


@pytest.mark.parametrize("column", ["failure", "facts"])
def test_one_needs_all_its_columns(packed, column):
    parquet.write_table(parquet.read_table(packed).drop_columns([column]), packed)
    with pytest.raises(UserError, match="columns are missing"):
        read_archive(packed)


def test_failures_and_moments_come_back(tmp_path):
    failure = Failure(FailureKind.KILLED, "killed", "Traceback")
    runs = [
        run("a", moments=[{"visit": 1, "steps": 5, "accuracy": [0.1, None]}]),
        run("b", status="failed", failure=failure),
    ]
    (tmp_path / "r.parquet").write_bytes(archive(runs))
    assert [(r.failure, r.moments) for r in read_archive(tmp_path / "r.parquet")] == [
        (r.failure, r.moments) for r in runs
    ]


def test_the_same_runs_give_the_same_bytes(store, packed):
    assert archive(read_runs(packed)) == packed.read_bytes()


def test_suites_are_in_the_metadata_and_of_several_stores_the_first_counts(store, tmp_path):
    ours = SuiteNote("suite", "Does it 🙂?", ("z", "a"), ("wpl", "finetune"))
    other = SuiteNote("other", "", ("b",), ())
    with Store(store, create=True) as made:
        made.put_suite(ours)
    with Store(tmp_path / "more.db", create=True) as made:
        made.put(run("d"))
        for note in (SuiteNote("suite", "changed", (), ()), other):
            made.put_suite(note)
    both = tmp_path / "both.parquet"
    stores = ("--store", store, "--store", tmp_path / "more.db")
    assert command("archive", *stores, "-o", both) == 0
    assert read_suites(both) == [ours, other]
    assert archive(read_runs(both), read_suites(both)) == both.read_bytes()


@pytest.mark.parametrize("value", ["{", "[{}]", "[1]", "7"])
def test_suites_that_cannot_be_read_are_damage(packed, value):
    table = parquet.read_table(packed)
    metadata = {module._MARK: "1", module._SUITES: value}
    parquet.write_table(table.replace_schema_metadata(metadata), packed)
    with pytest.raises(UserError, match=r"damaged or truncated .its suites"):
        read_suites(packed)


def test_columns_are_typed_and_metrics_are_numbers(store, packed):
    table = parquet.read_table(packed)
    types = {field.name: str(field.type) for field in table.schema}
    assert types["strength"] == types["seconds"] == types["metric.forgetting"] == "double"
    assert types["seed"] == types["peak_memory"] == "int64"
    assert types["spec"] == types["curves"] == types["status"] == "string"
    for row, record in zip(table.to_pylist(), read_runs(store), strict=True):
        assert {k[7:]: v for k, v in row.items() if k.startswith("metric.")} == record.metrics
    file = parquet.ParquetFile(packed)
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_what_is_there_decides_and_not_its_name(store, packed, tmp_path):
    packed.rename(tmp_path / "odd.db")
    store.rename(tmp_path / "odd.parquet")
    assert is_archive(tmp_path / "odd.db")
    assert not is_archive(tmp_path / "odd.parquet")
    assert read_runs(tmp_path / "odd.db") == read_runs(tmp_path / "odd.parquet")
    assert is_archive(tmp_path / "none.parquet")
    assert not is_archive(tmp_path / "none.db")
    assert not is_archive(tmp_path)


def foreign(path, metadata=None, **columns):
    table = pa.table(columns or {"a": [1]}).replace_schema_metadata(metadata)
    parquet.write_table(table, path)
    return path


def test_a_file_that_is_none_of_ours(tmp_path):
    path = foreign(tmp_path / "a.parquet")
    assert is_archive(path)
    assert not is_marked(path)
    with pytest.raises(UserError, match="a Parquet file, but not written by 'palimpsest archive'"):
        read_archive(path)


def test_one_of_a_newer_version(tmp_path):
    path = foreign(tmp_path / "a.parquet", {module._MARK: "7"})
    assert is_marked(path)
    with pytest.raises(UserError, match=r"archive format 7, this one reads 1.; upgrade"):
        read_archive(path)


def test_one_that_lacks_what_it_should_have(tmp_path):
    path = foreign(tmp_path / "a.parquet", {module._MARK: "1"}, key=["a"])
    with pytest.raises(UserError, match=r"damaged or truncated .columns are missing"):
        read_archive(path)


@pytest.mark.parametrize(
    ("column", "value"),
    [("spec", "{"), ("spec", "[]"), ("curves", "{}"), ("status", "x"), ("key", None)],
)
def test_one_whose_rows_are_broken(packed, column, value):
    table = parquet.read_table(packed)
    place = table.schema.names.index(column)
    values = [value, *table.column(column).to_pylist()[1:]]
    broken = table.set_column(place, table.schema.field(column), pa.array(values, pa.string()))
    parquet.write_table(broken, packed)
    with pytest.warns(Remark, match=r"left out: .* damaged or truncated .run "):
        rest = read_archive(packed)
    assert [run.key for run in rest] == table.column("key").to_pylist()[1:]


def test_damage_is_said_in_a_line(packed):
    content = packed.read_bytes()
    rng = random.Random(1)
    for _ in range(60):
        end = rng.randrange(4, len(content))
        packed.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"\.parquet: the archive is damaged") as error:
            read_runs(packed)
        assert "\n" not in str(error.value)
    packed.write_bytes(content)
    chunks = ParquetFile(packed).metadata.row_group(0)
    for chunk in map(chunks.column, range(chunks.num_columns)):
        if chunk.path_in_schema.startswith("metric."):
            continue  # not read: metrics are computed anew
        start = min(chunk.data_page_offset, chunk.dictionary_page_offset or math.inf)
        place = start + chunk.total_compressed_size - 1  # of its last page, behind the header
        packed.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(UserError, match="damaged"):
            read_runs(packed)


def test_without_pyarrow_it_says_what_to_install(packed, store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert command("report", packed, "-o", tmp_path / "a.html") == 2
    assert command("archive", "--store", store, "-o", tmp_path / "a.parquet") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("pip install 'palimpsest-bench[parquet]'" in line for line in lines)


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_run_into_an_archive(packed, tmp_path, capsys, there):
    path = packed if there else tmp_path / "new.parquet"
    before = packed.read_bytes()
    assert command("run", "quick", "--store", path) == 2
    assert "this is an archive, which is read-only" in capsys.readouterr().err
    assert packed.read_bytes() == before
    assert (tmp_path / "new.parquet").exists() is False


def test_only_archives_are_written_over(store, packed, tmp_path, capsys):
    assert command("archive", "--store", store, "-o", packed) == 0
    other = foreign(tmp_path / "other.parquet")
    before = other.read_bytes()
    assert command("archive", "--store", store, "-o", other) == 2
    assert "'palimpsest archive' did not write" in capsys.readouterr().err
    assert command("archive", "--store", packed, "-o", packed) == 2
    assert "write over" in capsys.readouterr().err
    assert other.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "runs.db", "-o", "runs"], "such as runs.parquet"),
        (["--store", "none.parquet", "-o", "a.parquet"], "'palimpsest archive --store STORE"),
        (["--store", "none.db", "-o", "a.parquet"], "there is no store here"),
        (["--store", "empty.db", "-o", "a.parquet"], "no runs yet"),
        (["--store", "runs.db", "--store", "other.db", "-o", "a.parquet"], "different results"),
    ],
)
def test_what_cannot_work_is_said(store, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    Store(tmp_path / "empty.db", create=True).close()
    with Store(tmp_path / "other.db", create=True) as made:
        made.put(run("a", accuracy_matrix=[[0.9, 0.1], [0.8, 0.9]]))
    assert command("archive", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.parquet").exists()
