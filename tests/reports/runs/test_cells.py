from dataclasses import replace

import pytest
from known_facts import facts_of

from palimpsest.benchmark.store.store import SuiteNote
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.runs.cells import Variant, group
from palimpsest.reports.wording.numbers import strength_text


@pytest.mark.parametrize(
    ("strength", "text"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (1.0, "1"),
        (10.0, "10"),
        (150.0, "150"),
        (-0.0, "0"),
        (1e2, "100"),
        (9999.0, "9999"),
        (1e4, "1e4"),
        (2.5e6, "2.5e6"),
        (1e-7, "1e-7"),
        (12345.0, "12345"),
    ],
)
def test_strengths_are_written_short_and_exact(strength, text):
    assert strength_text(strength) == text
    assert float(text) == strength


def test_labels():
    assert Variant("mine", facts_of("wpl"), 1e4).label == "mine, strength 1e4"
    assert Variant("finetune", facts_of("finetune")).label == "finetune"
    assert Variant("adapter", facts_of("smile"), 4).label == "adapter, rank 4"
    assert Variant("der", facts_of("der"), 2000.0).label == "der, memory 2000"
    assert Variant("merge", facts_of("ties"), 0.0001).label == "merge, scale 1e-4"


def test_order_is_finetune_then_strategies_by_strength_then_references(record):
    runs = [
        record([[0.9]], strategy="joint"),
        record([[0.9]], strategy="wpl", strength=1e4),
        record([[0.9]], strategy="wpl", strength=1e2),
        record([[0.9]], strategy="freeze"),
        record([[0.9]], strategy="ewc", strength=1e6),
        record([[0.9]], strategy="finetune"),
    ]
    labels = [cell.variant.label for cell in group(runs)]
    assert labels == [
        "finetune", "ewc, strength 1e6", "wpl, strength 100", "wpl, strength 1e4", "freeze",
        "joint",
    ]  # fmt: skip


def ordered(cells):
    strategies = dict.fromkeys(cell.variant.strategy for cell in cells)
    return list(dict.fromkeys(cell.scenario for cell in cells)), list(strategies)


def test_order_is_that_of_the_suites_then_natural(record):
    strategies = ["wpl", "joint", "v10", "ewc", "v2", "finetune"]
    runs = [
        record([[0.9]], scenario=scenario, strategy=strategy)
        for scenario in ("a", "a10", "a2", "q", "z")
        for strategy in strategies
    ]
    first = SuiteNote("first", "", ("z", "gone"), ("wpl", "joint", "finetune"))
    second = SuiteNote("second", "", ("q", "z"), ("ewc", "wpl"))
    assert ordered(group(runs[::-1], [first, second])) == (
        ["z", "q", "a", "a2", "a10"], ["finetune", "wpl", "ewc", "v2", "v10", "joint"]
    )  # fmt: skip
    assert ordered(group(runs[::-1])) == (
        ["a", "a10", "a2", "q", "z"], ["finetune", "ewc", "v2", "v10", "wpl", "joint"]
    )  # fmt: skip


def test_ambiguous_names_keep_their_place_and_strengths_go_from_weak_to_strong(record):
    runs = [
        record([[0.9]], strategy=name, strength=strength, settings={"fisher": kind})
        for name in ("ewc", "wpl")
        for strength in (10.0, 9.0)
        for kind in ("sampled", "exact")
    ]
    cells = group(runs, [SuiteNote("s", "", ("same",), ("wpl", "ewc"))])
    assert [cell.variant.label for cell in cells] == [
        f"{name} (fisher {kind}), strength {strength}"
        for name in ("wpl", "ewc")
        for kind in ("exact", "sampled")
        for strength in ("9", "10")
    ]


def test_one_name_for_two_settings_is_two_variants(record):
    runs = [
        record([[0.9]], strategy="wpl", strength=1.0, settings={"fisher": kind, "samples": 9})
        for kind in ("exact", "sampled")
    ]
    labels = [cell.variant.label for cell in group(runs)]
    assert labels == ["wpl (fisher exact), strength 1", "wpl (fisher sampled), strength 1"]


def test_one_name_for_two_scenarios_is_never_averaged(record):
    runs = [
        record([[0.9]], scenario="quick", scenario_settings={"steps": steps}) for steps in (10, 20)
    ]
    assert [cell.scenario for cell in group(runs)] == ["quick (steps 10)", "quick (steps 20)"]


def test_newest_run_of_a_seed_counts_and_failed_runs_do_not(record):
    old = record([[0.2]], started="2026-01-01T00:00:00+00:00")
    new = record([[0.8]], started="2026-02-01T00:00:00+00:00")
    other = record([[0.6]], seed=1)
    failed = record(seed=2, error="out of memory")
    (cell,) = group([new, old, other, failed])
    assert cell.done == (new, other)
    assert cell.repeated == (old,)
    assert cell.failed == (failed,)
    assert set(map(id, cell.runs)) == set(map(id, (old, new, other, failed)))
    assert cell.interval("average_accuracy").value == pytest.approx(0.7)


def made_by(one, version=3, plugin=None, network=None, started="2026-01-01"):
    """The run, as other code would have made it."""
    data = {**one.spec.data, "versions": {"harness": 1, "scenario": 1, "strategy": version}}
    for part, digest in (("strategy", plugin), ("scenario", network)):
        if digest:
            name = "plugin" if part == "strategy" else "network_plugin"
            data[part] = {**data[part], name: digest}
    return replace(one, spec=Spec(data), started=started)


@pytest.mark.parametrize("what", ["plugin", "network", "version"])
def test_of_runs_that_only_code_tells_apart_the_newest_count(record, what):
    def run(seed, code, started):
        return made_by(record([[0.9]], seed=seed), **{what: code}, started=started)

    one, two = (3, 4) if what == "version" else ("aa", "bb")
    old = [run(seed, one, "2026-01-01") for seed in range(3)]
    new = [run(seed, two, "2026-02-01") for seed in range(2)]
    (cell,) = group([*new, *old])
    assert (cell.done, cell.outdated) == (tuple(new), old)
    (told,) = [text for text in caveats([cell], [], []) if "earlier code" in text]
    assert told.startswith("3 runs of finetune (on 2026-01-01) came from earlier code")
    assert "aa" not in told


def test_a_scenario_of_earlier_code_is_not_compared_with_the_new_one(record):
    old = [
        made_by(record([[0.9]], strategy=name), network="aa", started="2026-01-01")
        for name in ("finetune", "si")
    ]
    new = made_by(record([[0.8]], strategy="finetune"), network="bb", started="2026-02-01")
    cells = {cell.variant.strategy: cell for cell in group([*old, new])}
    assert cells["finetune"].done == (new,)
    assert cells["si"].done == ()
    assert cells["si"].outdated == [old[1]]


def test_strengths_that_only_earlier_code_ran_are_left_out(record):
    def run(strength, plugin, started):
        return made_by(
            record([[0.9]], strategy="mine", strength=strength), plugin=plugin, started=started
        )

    old = [run(strength, "aa", "2026-01-01") for strength in (1.0, 1000.0)]
    new = run(1.0, "bb", "2026-02-01")
    cells = {cell.variant.strength: cell for cell in group([*old, new])}
    assert (cells[1.0].done, cells[1.0].outdated) == ((new,), [old[0]])
    assert (cells[1000.0].done, cells[1000.0].outdated) == ((), [old[1]])


def test_failures_of_earlier_code_are_not_those_of_the_newest(record):
    old = made_by(record(error="a bug"), plugin="aa", started="2026-01-01")
    new = made_by(record([[0.9]]), plugin="bb", started="2026-02-01")
    (cell,) = group([old, new])
    assert (cell.done, cell.failed, cell.outdated) == ((new,), (), [old])
