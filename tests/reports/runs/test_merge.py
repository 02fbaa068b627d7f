"""Runs of several stores in one report: counted once, told apart where they differ."""

from dataclasses import replace
from pathlib import Path

import pytest

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import forgetting_reduction, plasticity
from palimpsest.benchmark.runs.failure import Failure
from palimpsest.benchmark.store.store import Store, SuiteNote
from palimpsest.reports.runs.cells import group
from palimpsest.reports.runs.merge import merge, read_notes, read_stores, store_names

HIGH = [[0.9, 0.1], [0.7, 0.8]]
LOW = [[0.9, 0.1], [0.4, 0.8]]
ALONE = [[0.9, 0.1], [0.9, 0.85]]


def labels(merged):
    return [(cell.scenario, cell.variant.label, len(cell.done)) for cell in group(merged.records)]


def put(path, records):
    with Store(path, create=True) as store:
        for record in records:
            store.put(record)


def test_names_are_as_long_as_it_takes():
    paths = [Path("/x/old/runs.db"), Path("/x/new/runs.db"), Path("/y/new/runs.db"), Path("/a.db")]
    assert store_names(paths) == ["old/runs.db", "x/new/runs.db", "y/new/runs.db", "a.db"]


def test_a_store_named_twice_is_a_mistake(tmp_path):
    (tmp_path / "a.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    with pytest.raises(UserError, match=r"link\.db: this store is named twice"):
        store_names([tmp_path / "a.db", tmp_path / "link.db"])


def test_of_several_stores_the_first_that_knows_a_suite_counts(tmp_path, record):
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    for path, matrix, asked in zip(paths, (HIGH, LOW), ("first", "second"), strict=True):
        put(path, [record(matrix, strategy=name) for name in ("ewc", "wpl")])
        with Store(path, create=True) as store:
            store.put_suite(SuiteNote("paper", asked, ("same",), ("wpl", "ewc")))
            store.put_suite(SuiteNote(asked, "", (), ("wpl",)))
    merged = merge(read_stores(paths), read_notes(paths))
    assert [(note.name, note.description) for note in merged.suites] == [
        ("paper", "first"), ("first", ""), ("second", "")
    ]  # fmt: skip
    assert [cell.variant.strategy for cell in group(merged.records, merged.suites)] == [
        "wpl [a.db]", "wpl [b.db]", "ewc [a.db]", "ewc [b.db]"
    ]  # fmt: skip


def test_one_store_is_left_as_it_is(store):
    merged = merge({"a.db": store})
    assert sorted(map(id, merged.records)) == sorted(map(id, store))
    assert merged.origin == "a.db"


def test_two_machines_that_shared_the_seeds_make_one_cell(record):
    a = [record(HIGH, seed=seed) for seed in (0, 1)]
    b = [record(LOW, seed=seed) for seed in (2, 3, 4)]
    merged = merge({"a.db": a, "b.db": b})
    assert labels(merged) == [("same", "finetune", 5)]
    assert merged.origin == "a.db and b.db; a run that is in several of them counts once"


def test_a_run_with_the_same_results_counts_once_and_the_newest_is_kept(record):
    old = record(HIGH)
    new = replace(old, started="2026-09-01T00:00:00+00:00", seconds=99.0, versions={"torch": "3"})
    for stores in ({"a": [old], "b": [new]}, {"a": [new], "b": [old]}):
        assert merge(stores).records == [new]


@pytest.mark.parametrize(
    "field", ["accuracy_matrix", "validation_matrix", "initial_accuracy", "curves"]
)
def test_a_run_with_different_results_is_never_averaged(record, field):
    before = record(HIGH, strategy="wpl", strength=1.0)
    other = {
        "initial_accuracy": [0.1, 0.2],
        "curves": [{"model": 0, "steps": [0], "accuracy": [[0.1]]}],
    }
    after = replace(before, **{field: other.get(field, LOW)})
    merged = merge({"before.db": [before], "after.db": [after]})
    assert labels(merged) == [
        ("same", "wpl [after.db], strength 1", 1),
        ("same", "wpl [before.db], strength 1", 1),
    ]
    assert merged.origin.endswith("carries the name of the store (wpl in same)")


def test_only_what_is_disputed_carries_its_store_and_keeps_all_its_runs(record):
    same = [
        record(HIGH, strategy="finetune"),
        record(HIGH, strategy="wpl", strength=1.0, scenario="other"),
        record(HIGH, strategy="wpl", strength=1.0, seed=0),
    ]
    before = [*same, record(HIGH, strategy="wpl", strength=2.0, seed=1)]
    after = [*same, record(LOW, strategy="wpl", strength=2.0, seed=1)]
    third = [record(HIGH, strategy="wpl", strength=1.0, seed=5)]
    assert labels(merge({"before": before, "after": after, "third": third})) == [
        ("other", "wpl, strength 1", 1),
        ("same", "finetune", 1),
        ("same", "wpl [after], strength 1", 1),
        ("same", "wpl [after], strength 2", 1),
        ("same", "wpl [before], strength 1", 1),
        ("same", "wpl [before], strength 2", 1),
        ("same", "wpl [third], strength 1", 1),
    ]


def test_a_third_store_that_disagrees_with_the_second_is_noticed(record):
    first = record(HIGH)  # without references: agrees with either
    second, third = (replace(first, references={"alone": own}) for own in (HIGH, ALONE))
    merged = merge({"1": [first], "2": [second], "3": [third]})
    assert len(labels(merged)) == 3


def test_other_settings_of_one_name_are_told_apart_by_the_settings(record):
    a = record(HIGH, strategy="wpl", strength=1.0, settings={"fisher": "exact"}, started="a")
    b = record(LOW, strategy="wpl", strength=1.0, settings={"fisher": "sampled"}, started="b")
    assert [label for _, label, _ in labels(merge({"a": [a], "b": [b]}))] == [
        "wpl (fisher exact), strength 1",
        "wpl (fisher sampled), strength 1",
    ]


def test_a_finished_run_counts_before_one_that_failed(record):
    done = record(HIGH, seed=3)
    failed = replace(record(error="boom", seed=3), key=done.key, started="2027-01-01")
    for stores in ({"a": [done], "b": [failed]}, {"a": [failed], "b": [done]}):
        assert merge(stores).records == [done]


def test_of_two_failures_the_newer_one_is_kept(record):
    old = record(error="boom")
    new = replace(old, failure=Failure.told("bang"), started="2027-01-01")
    assert merge({"a": [new], "b": [old]}).records == [new]


def test_a_reference_may_lie_in_the_other_store(record):
    wpl = record(HIGH, strategy="wpl", strength=1.0)
    references = [record(LOW), record(ALONE, strategy="independent")]
    assert wpl.metrics["forgetting_reduction"] is wpl.metrics["plasticity"] is None
    merged = merge({"a": [wpl], "b": references})
    (found,) = (r for r in merged.records if r.strategy == "wpl")
    assert found.metrics["forgetting_reduction"] == forgetting_reduction(HIGH, LOW)
    assert found.metrics["plasticity"] == plasticity(HIGH, ALONE)
    assert found.metrics["intransigence"] is None


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"scenario": "other"}, {"scenario_settings": {"steps": 3}}], ids=str
)
def test_a_reference_has_the_same_scenario_and_seed(record, other):
    merged = merge({"a": [record(HIGH, strategy="wpl")], "b": [record(LOW, **other)]})
    (found,) = (r for r in merged.records if r.strategy == "wpl")
    assert found.metrics["forgetting_reduction"] is None


def test_a_run_is_compared_with_the_reference_of_its_own_store(record):
    stores = {
        name: [record(matrix), record(HIGH, strategy="wpl", references={"baseline": matrix})]
        for name, matrix in (("a", LOW), ("b", [[0.9, 0.1], [0.5, 0.8]]))
    }
    found = {r.strategy: r.metrics["forgetting_reduction"] for r in merge(stores).records}
    assert found["wpl [a]"] == pytest.approx(1 - 0.2 / 0.5)
    assert found["wpl [b]"] == pytest.approx(1 - 0.2 / 0.4)


def test_no_reference_is_chosen_where_stores_disagree_about_it(record):
    stores = {
        "a": [record(LOW)],
        "b": [record([[0.9, 0.1], [0.5, 0.8]])],
        "c": [record(HIGH, strategy="wpl")],
    }
    (found,) = (r for r in merge(stores).records if r.strategy == "wpl")
    assert found.metrics["forgetting_reduction"] is None


def test_what_is_read_is_in_the_order_of_a_store_whatever_the_order_of_stores(tmp_path, store):
    unique = [replace(record, key=f"{place:016x}") for place, record in enumerate(store)]
    put(tmp_path / "all.db", unique)
    put(tmp_path / "a.db", unique[::2])
    put(tmp_path / "b.db", unique[1::2])
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    (whole,) = read_stores([tmp_path / "all.db"]).values()
    assert merge(read_stores(paths)).records == whole
    assert merge(read_stores(paths[::-1])).records == whole
