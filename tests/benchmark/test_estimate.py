"""How long runs will take: from finished runs of their kind, else from a few timed steps."""

import re
from dataclasses import replace

import pytest

from benchmark import timing
from benchmark.cli import main
from benchmark.estimate import estimate
from benchmark.plan import make_plan
from benchmark.store import Record
from benchmark.suite_loading import load_suite
from benchmark.timing import TimedProbe

SECONDS = {"a": {"finetune": 10.0, "ewc": 20.0, "si": 30.0}, "b": {"finetune": 2.0}}
"""By scenario and strategy; `ewc` and `si` in `b` are to be estimated."""


@pytest.fixture
def plan(tmp_path):
    names = ["finetune", "ewc", "si", "lwf"]
    suite = {
        "suite": "example",
        "seeds": 2,
        "scenarios": {
            "a": {"family": "two_models", "data": "digits", "steps": 100, "width": 5},
            "b": {"family": "split", "data": "digits", "steps": 100, "width": 5},
        },
        "strategies": {name: {} for name in names},
    }
    return make_plan([load_suite(suite)], tmp_path / "x.db", root=tmp_path)


def finished(plan):
    return [
        Record(**run.cell(), status="done", seconds=SECONDS[run.scenario][run.strategy])
        for run in plan.todo
        if run.strategy in SECONDS[run.scenario] and run.seed == 0
    ]


def left(plan, scenario, strategy):
    return [r for r in plan.todo if (r.scenario, r.strategy, r.seed) == (scenario, strategy, 1)]


@pytest.mark.parametrize(
    ("scenario", "strategy", "seconds"),
    [
        ("a", "finetune", 10),  # as the other seed
        ("a", "si", 30),
        ("b", "ewc", 4),  # twice fine-tuning, as in a
        ("b", "si", 6),
        ("a", "lwf", 20),  # nothing is known of it: the mean of the others
    ],
)
def test_runs_take_as_long_as_those_of_their_kind(plan, scenario, strategy, seconds):
    assert estimate(left(plan, scenario, strategy), finished(plan), 1) == f"about {seconds} s"


def test_another_strength_takes_as_long_and_a_failed_run_counts_for_nothing(plan):
    (run,) = left(plan, "a", "ewc")
    other = replace(run, strength=7.0)
    failed = [replace(record, status="failed", seconds=1e6) for record in finished(plan)]
    assert estimate([other], [*finished(plan), *failed], 1) == "about 20 s"


def test_several_workers_share_the_time(plan):
    runs = [run for run in plan.todo if (run.scenario, run.strategy) == ("a", "si")]
    assert estimate(runs, finished(plan), 2) == "about 30 s"
    assert estimate(runs * 20, finished(plan), 2) == "about 10 min"


def test_without_runs_or_probe_nothing_is_known(plan):
    runs = left(plan, "a", "si")
    assert estimate(runs, [], 1) == "nothing is known of how long"
    assert estimate(runs, [], 1, lambda run: 5.0) == "about 5 s"
    both = [*runs, *left(plan, "b", "si")]
    half = {"a": 5.0, "b": None}
    assert estimate(both, [], 1, lambda run: half[run.scenario]) == "very roughly 10 s"


def test_the_probe_extrapolates_from_two_lengths(plan, monkeypatch):
    asked = []

    def seconds(self, run, steps):
        asked.append(steps)
        return 0.5 + 0.01 * steps

    monkeypatch.setattr(TimedProbe, "_seconds", seconds)
    with TimedProbe(plan.root) as probe:
        found = [probe(run) for run in left(plan, "a", "finetune") + left(plan, "a", "ewc")]
    assert found == pytest.approx([1.5, 1.5])
    assert max(asked) <= 100


def test_the_probe_trains_a_few_steps(plan):
    with TimedProbe(plan.root) as probe:
        found = probe(left(plan, "a", "finetune")[0])
    assert found is not None
    assert 0.005 < found < 60


def test_a_probe_that_took_its_time_takes_the_others_for_as_long(plan, monkeypatch):
    monkeypatch.setattr(timing, "_BUDGET_SECONDS", 0.0)
    monkeypatch.setattr(TimedProbe, "_seconds", lambda self, run, steps: 2.0)
    with TimedProbe(plan.root) as probe:
        assert probe(left(plan, "a", "finetune")[0]) == probe(left(plan, "a", "lwf")[0]) == 2.0


def test_where_a_step_takes_long_a_few_have_to_do(plan, monkeypatch):
    """A network on 10,000 test images: the probe would take as long as a run."""
    asked = []

    def seconds(self, run, steps):
        asked.append((run.scenario, steps))
        return 20.0 + 0.5 * steps

    monkeypatch.setattr(timing, "_BUDGET_SECONDS", 0.0)
    monkeypatch.setattr(TimedProbe, "_seconds", seconds)
    with TimedProbe(plan.root) as probe:
        found, other = (probe(left(plan, name, "finetune")[0]) for name in ("a", "b"))
    assert found == pytest.approx(20.0 + 0.5 * 100)
    assert other is None
    assert asked == [("a", 1), ("a", 1), ("a", 3)], "one step for the imports"


def test_a_probe_downloads_nothing(plan, tmp_path):
    suite = {"suite": "x", "seeds": 1, "scenarios": {"split": {"data": "cifar10"}}}
    suite = load_suite(suite | {"strategies": {"finetune": {}}})
    with TimedProbe(tmp_path) as probe:
        assert probe(suite.runs("cpu", tmp_path)[0]) is None


def test_dry_run_says_how_long(tmp_path, capsys):
    options = "--seeds 1 --strategies finetune --dry-run --store"
    with pytest.raises(SystemExit):
        main(["run", "quick", *options.split(), str(tmp_path / "x.db")])
    assert re.search(
        r"1 of 1 runs to do, about \d+ (s|min) with 1 worker\n$", capsys.readouterr().out
    )
