"""How long runs will take: finished runs of their kind tell it, and nothing is trained for it."""

import pytest

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.executors.options import RunOptions
from palimpsest.benchmark.executors.run_jobs import first_models_first
from palimpsest.benchmark.orchestration.estimate import Durations, RunKind, estimate
from palimpsest.benchmark.orchestration.eta import Eta
from palimpsest.benchmark.orchestration.plan import make_plan
from palimpsest.benchmark.store.store import Record, Store
from palimpsest.benchmark.suites.jobs import jobs_of
from palimpsest.benchmark.suites.loading import load_suite

SECONDS = {"a": {"finetune": 10.0, "ewc": 20.0, "si": 30.0}, "b": {"finetune": 2.0}}
"""By scenario and strategy; `ewc` and `si` in `b` are to be estimated."""
NAMES = ["finetune", "ewc", "si", "lwf"]


def make(folder, **changes):
    suite = {
        "suite": "example",
        "seeds": 2,
        "scenarios": {
            "a": {"family": "two_models", "data": "digits", "steps": 100, "width": 5},
            "b": {"family": "split", "data": "digits", "steps": 100, "width": 5},
        },
        "strategies": {name: {} for name in NAMES},
    }
    for scenario in suite["scenarios"].values():
        scenario |= changes
    return make_plan([load_suite(suite)], RunOptions(store=folder / "x.db", data_root=folder))


@pytest.fixture
def plan(tmp_path):
    return make(tmp_path)


def done(run, seconds, **more):
    return Record(**run.cell(), status="done", seconds=seconds, **more)


def finished(plan):
    return [
        done(run, SECONDS[run.scenario][run.strategy])
        for run in plan.todo
        if run.strategy in SECONDS[run.scenario] and run.seed == 0
    ]


def left(plan, scenario, strategy):
    return [r for r in plan.todo if (r.scenario, r.strategy, r.seed) == (scenario, strategy, 1)]


@pytest.mark.parametrize(
    ("scenario", "strategy", "told"),
    [
        ("a", "finetune", "about 10 s"),  # as the other seed
        ("a", "si", "about 30 s"),
        ("b", "ewc", "very roughly 4 s"),  # twice fine-tuning, as in a
        ("b", "si", "very roughly 6 s"),
        ("a", "lwf", "very roughly 20 s"),  # nothing finished of it: the mean of the others
    ],
)
def test_runs_take_as_long_as_those_of_their_kind(plan, scenario, strategy, told):
    assert estimate(left(plan, scenario, strategy), finished(plan), 1) == told


def test_several_workers_share_the_time_and_the_longest_run_is_not_shared(plan):
    runs = [run for run in plan.todo if (run.scenario, run.strategy) == ("a", "si")]
    assert estimate(runs, finished(plan), 2) == "about 30 s"
    assert estimate(runs * 20, finished(plan), 2) == "about 10 min"
    short = left(plan, "b", "finetune")
    assert estimate([*runs[:1], *short], finished(plan), 2) == "about 30 s"


def test_of_what_nothing_comparable_has_finished_nothing_is_told(plan):
    runs = left(plan, "a", "si")
    assert estimate(runs, [], 1) == "not known before the first runs"
    only_a = [record for record in finished(plan) if record.scenario == "a"]
    told = estimate([*runs, *left(plan, "b", "si") * 3], only_a, 1)
    assert told == "about 30 s for 1 of them; of the others not known before the first runs"


def test_what_grows_with_the_steps_is_scaled(tmp_path, plan):
    """Of 10 s, building takes 2; with a curve, evaluation grows as training does."""
    cost = {
        "training_seconds": [3.0, 3.0],
        "evaluation_seconds": 1.0,
        "consolidation_seconds": [None, 1.0],
        "building_seconds": 2.0,
    }
    (run,) = left(plan, "a", "finetune")
    curve = [{"model": 0, "steps": [100], "accuracy": [[0.5]]}]
    long = left(make(tmp_path, steps=1000), "a", "finetune")
    assert estimate(long, [done(run, 10.0, cost=cost)], 1) == "very roughly 1 min"  # 64 s
    assert estimate(long, [done(run, 10.0, cost=cost, curves=curve)], 1) == "very roughly 1 min"
    guess = Durations([done(run, 10.0, cost=cost, curves=curve)]).guess(RunKind.of(long[0].spec))
    assert guess.seconds == pytest.approx(3 + 70)
    wider = left(make(tmp_path, width=50), "a", "finetune")
    assert estimate(wider, [done(run, 10.0, cost=cost)], 1) == "not known before the first runs"


def test_dry_run_trains_nothing_to_say_how_long(tmp_path, capsys, monkeypatch):
    store = tmp_path / "x.db"

    def dry(*options):
        with pytest.raises(SystemExit):
            arguments = ["--seeds", "1", "--strategies", "finetune", "--dry-run", *options]
            main(["run", "quick", *arguments, "--store", str(store)])
        return capsys.readouterr().out

    monkeypatch.setattr("palimpsest.benchmark.runs.runner.execute_job", None)
    expected = "1 of 1 runs to do with 1 worker: not known before the first runs\n"
    assert dry().endswith(expected)
    (run,) = make_plan(
        [load_suite("quick", seeds="2", strategies=["finetune"])],
        RunOptions(store=store, data_root=tmp_path),
    ).todo[1:]
    with Store(store, create=True) as opened:
        opened.put(done(run, 84.0))
    assert dry().endswith("1 of 1 runs to do with 1 worker: about 1 min\n")


# What is left while a suite runs


@pytest.fixture
def going(plan):
    """A suite of eight runs of ``a`` that runs, at a time that a test says."""

    class Going:
        now = 0.0

        def __init__(self):
            self.runs = [run for run in plan.todo if run.scenario == "a"]
            self.left = Eta(self.runs, (), lambda: Going.now)

        def run(self, strategy, seed=0):
            (found,) = (r for r in self.runs if (r.strategy, r.seed) == (strategy, seed))
            return found

        def progressed(self, now, fraction, *run):
            Going.now = now
            self.left.progressed((self.run(*run),), fraction)

        def ended(self, now, seconds, *run):
            Going.now = now
            self.left.ended(done(self.run(*run), seconds))

    return Going()


def test_time_left_is_not_known_before_the_first_steps(going):
    assert going.left.seconds is None
    going.progressed(5.0, 0.0, "finetune")
    assert going.left.seconds is None
    going.progressed(7.0, 0.1, "finetune")
    assert going.left.seconds is None, "loading took 2 s, but how long are steps?"
    going.progressed(8.0, 0.2, "finetune")
    whole = 2 + 10 * 1.0  # what came before the first steps is not repeated for each of them
    assert going.left.seconds == pytest.approx((7 + 0.8) * whole)


def test_time_left_is_that_of_the_strategies_that_are_left(going):
    for at, (strategy, seconds) in enumerate({"finetune": 1, "ewc": 1, "si": 1, "lwf": 96}.items()):
        going.progressed(at, 0.0, strategy)
        going.ended(at + seconds, seconds, strategy)
    assert going.left.seconds == pytest.approx(99.0), "the second seed as the first"
    going.progressed(100.0, 0.0, "lwf", 1)
    going.ended(196.0, 96, "lwf", 1)
    assert going.left.seconds == pytest.approx(3.0, rel=0.01)


def test_time_left_counts_the_workers_and_those_of_other_processes(going):
    """Two runs at a time here, and two were done elsewhere meanwhile."""
    for name in ("finetune", "ewc"):
        going.progressed(0.0, 0.0, name)
    for name in ("finetune", "ewc"):
        going.ended(10.0, 10.0, name)
    assert going.left.seconds == pytest.approx(6 * 10 / 2)
    for name in ("si", "lwf"):
        going.ended(10.0, 10.0, name)
    assert going.left.seconds == pytest.approx(4 * 10 / 4)


def test_the_last_run_is_not_shared(going):
    for seed in (0, 1):
        for name in NAMES:
            going.progressed(0.0, 0.0, name, seed)
    for seed in (0, 1):
        for name in NAMES[: -seed or None]:
            going.ended(10.0, 10.0, name, seed)
    going.progressed(10.0, 0.5, "lwf", 1)
    assert going.left.seconds == pytest.approx(5.0)
    going.ended(15.0, 15.0, "lwf", 1)
    assert going.left.seconds == 0


def test_every_scenario_begins_before_the_first_goes_on(plan):
    jobs = first_models_first(jobs_of(plan.todo), 1)
    assert [(job[0].scenario, job[0].seed) for job in jobs[:3]] == [("a", 0), ("b", 0), ("a", 0)]
    assert sorted(job[0].key for job in jobs) == sorted(run.key for run in plan.todo)
