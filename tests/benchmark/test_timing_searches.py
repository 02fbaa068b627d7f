"""How long searches will take: what costs time in them, and the same of small real ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark import timing
from benchmark.preparation import scenario_settings
from benchmark.scenarios.searching import spread
from benchmark.suite_loading import load_suite
from benchmark.timing import TimedProbe
from benchmark.timing_searches import SearchProbe, _Evaluations

ROOT = Path("/nowhere")
SMALL = {
    "family": "architecture_search",
    "data": "digits",
    "supernet": {"name": "convolutional_cell", "nodes": 3, "channels": 2},
    "samples": 200,
    "test_samples": 100,
    "measured_samples": 20,
    "batch_size": 16,
}
SEARCH = {"epochs": 4, "visits": 20, "batches": 6, "measured": 5, "warm_start": 2}
CONTROLLER = {"sampler": {"name": "controller", "steps": 30, "derived": 7}}
ALONE = {"shared": False, "steps": 50, "epochs": None}
EIGHT = [[i % 4, i // 4, 3 - i % 4] for i in range(8)]


def make_run(**changes):
    suite = {"suite": "x", "seeds": 1, "strategies": {"finetune": {}}}
    return load_suite(suite | {"scenarios": {"it": SMALL | changes}}).runs("cpu", ROOT)[0]


STEP, OVERHEAD, PLAIN, REWARD, FIXED = 0.003, 0.02, 0.001, 0.004, 0.5
EVALUATION = _Evaluations(0.005, 0.01, 0.03)


def seconds_of(run, changes):
    """What a search would take if everything took the same time whenever it comes."""
    own = run.spec.data["scenario"] | changes
    settings = scenario_settings(replace(run.spec, data=run.spec.data | {"scenario": own}))
    search = settings.build(0, ROOT, "cpu").search
    if not settings.shared:
        evaluations = 3 * EVALUATION.visit + 2 * EVALUATION.validation + 3 * EVALUATION.test
        return FIXED + search.visits * (OVERHEAD + STEP * search.batches + evaluations)
    visits = search.epochs * search.visits
    found = FIXED + visits * (OVERHEAD + STEP * search.batches)
    found += PLAIN * search.warm_steps
    sampler = search.sampler
    controlled = sampler.name == "controller"
    found += search.epochs * sampler.steps * REWARD if controlled else 0.0
    return found + EVALUATION.of(search, 64, sampler.derived if controlled else 0)


@pytest.mark.parametrize("changes", [SEARCH, SEARCH | CONTROLLER, ALONE, {"sampler": "fair"}])
def test_what_costs_time_is_counted_as_often_as_it_comes(monkeypatch, changes):
    asked = []

    def seconds(run, short):
        asked.append(short)
        return seconds_of(run, short)

    monkeypatch.setattr(SearchProbe, "_evaluated", lambda self, run: EVALUATION)
    run = make_run(**changes)
    scenario = scenario_settings(run.spec).build(0, ROOT, "cpu")
    probe = SearchProbe(scenario, seconds, ROOT)
    warm = PLAIN * scenario.search.warm_steps
    expected = seconds_of(run, {}) - warm
    assert probe(run) == pytest.approx(expected, rel=0.02)
    assert probe.warm_start == pytest.approx(warm)
    alike = len(asked)
    assert probe(run) == pytest.approx(expected, rel=0.02)
    assert len(asked) < 2 * alike, "what does not depend on the strategy is timed once"
    assert max(short.get("visits", 0) for short in asked) <= 24


def test_the_evaluations_are_those_of_the_family():
    search = scenario_settings(make_run(**SEARCH, ranked=9).spec).build(0, ROOT, "cpu").search
    each = _Evaluations(1.0, 10.0, 100.0)
    assert len(search.measured) == 5
    assert search.slots == 6
    visits = 4 * 5 * 3
    assert each.of(search, 64, 0) == pytest.approx(visits + 6 * (100 + 110) + 9 * 110)
    (one,) = spread(1, 64)
    assert each.of(replace(search, ranked=0, measured=(one,)), 64, 1) == pytest.approx(
        4 * 3 + 2 * 210 + 10 + 110
    )


@pytest.mark.parametrize("changes", [SEARCH, ALONE | {"architectures": [[0, 1, 2], [3, 3, 3]]}])
def test_small_searches_are_probed(changes, monkeypatch):
    monkeypatch.setattr("benchmark.timing_searches._SECONDS", 0.01)
    with TimedProbe(ROOT) as probe:
        found = probe(make_run(**changes))
    assert found is not None
    assert found > 0.01


def test_a_warm_start_is_trained_once_for_all_scenarios_that_begin_with_it(monkeypatch):
    monkeypatch.setattr(SearchProbe, "_evaluated", lambda self, run: EVALUATION)
    monkeypatch.setattr(TimedProbe, "_seconds_with", lambda self, *asked: seconds_of(*asked))
    one = make_run(**SEARCH, cut_after_warm_start=0.5)
    other = make_run(**SEARCH | {"visits": 40, "batches": 3})
    cold = make_run(**SEARCH | {"warm_start": 0})
    with TimedProbe(ROOT) as probe:
        found = [probe(run) for run in (one, one, other, cold)]
    warm = PLAIN * 2 * 20 * 6
    assert found[0] - found[1] == pytest.approx(warm)
    assert found[2] == pytest.approx(seconds_of(other, {}) - warm, rel=0.02)
    assert found[3] == pytest.approx(seconds_of(cold, {}), rel=0.02)


@pytest.mark.thorough
@pytest.mark.parametrize("changes", [SEARCH | CONTROLLER, ALONE | {"architectures": EIGHT}])
def test_a_search_takes_as_long_as_the_probe_says(changes, monkeypatch):
    """In CPU time of one thread, since tests may run beside others."""
    for clock in ("perf_counter", "monotonic"):
        monkeypatch.setattr(f"time.{clock}", timing.time.process_time)
    run = make_run(**changes)
    with TimedProbe(ROOT) as probe:
        found = probe(run)
        taken = probe._seconds_with(run, {})
    assert taken / 1.5 < found < 1.5 * taken
