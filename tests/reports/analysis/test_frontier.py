import numpy as np
import pytest
from scipy import stats

from palimpsest.reports.analysis.frontier import dominated, frontiers, hypervolume
from palimpsest.reports.runs.cells import group

FINETUNE, FREEZE = np.array([0.9, 0.5]), np.array([0.7, 0.8])


def area(*points):
    x, y = np.array(points).T
    return float(hypervolume(x, y, FINETUNE, FREEZE))


def pixels(points, size=1000):
    """The same by counting: which of size x size spots some point dominates."""
    grid = (np.arange(size) + 0.5) / size
    x = FREEZE[0] + grid * (FINETUNE[0] - FREEZE[0])
    y = FINETUNE[1] + grid * (FREEZE[1] - FINETUNE[1])
    covered = np.zeros((size, size), dtype=bool)
    for px, py in points:
        covered |= (x <= px)[:, None] & (y <= py)[None, :]
    return covered.mean()


def test_hypervolume_by_hand():
    assert area((0.8, 0.65)) == pytest.approx(0.25)
    assert area((0.9, 0.8)) == pytest.approx(1)
    # Halfway at 3/4 of the height, and 3/4 of the width at a third of the height.
    assert area((0.8, 0.725), (0.85, 0.6)) == pytest.approx(0.5 * 0.75 + 0.25 / 3)


def test_the_ends_alone_have_none():
    assert area(FINETUNE) == area(FREEZE) == area((0.6, 0.4)) == 0


def test_dominated_points_and_ties_add_nothing():
    alone = area((0.8, 0.725), (0.85, 0.6))
    assert area((0.8, 0.725), (0.85, 0.6), (0.8, 0.55), (0.75, 0.6)) == pytest.approx(alone)
    assert area((0.8, 0.725), (0.8, 0.725), (0.85, 0.6)) == pytest.approx(alone)


def test_points_beyond_the_ends_count_as_on_the_edge():
    assert area((0.95, 0.65)) == pytest.approx(area((0.9, 0.65))) == pytest.approx(0.5)
    assert area((0.99, 0.99)) == pytest.approx(1)


def test_hypervolume_against_counting_pixels():
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 9):
        points = rng.uniform((0.65, 0.45), (0.95, 0.85), (count, 2))
        assert area(*points) == pytest.approx(pixels(points), abs=4e-3)


def test_hypervolume_of_many_resamples_is_that_of_each():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0.6, 0.9, (7, 4)), rng.uniform(0.5, 0.8, (7, 4))
    ends = np.tile(FINETUNE, (7, 1)), np.tile(FREEZE, (7, 1))
    found = hypervolume(x, y, *ends)
    single = [hypervolume(*each) for each in zip(x, y, *ends, strict=True)]
    assert found == pytest.approx(single)
    assert found == pytest.approx(hypervolume(x[:, ::-1], y[:, ::-1], *ends))


def test_dominated_by_hand():
    points = np.array([[1, 1], [2, 1], [1, 3], [2, 1], [np.nan, 9], [0, 3]])
    assert list(dominated(points)) == [True, False, False, False, False, True]


def plane(record, places, seeds=5, *, noise=0.0, order=1):
    """One scenario of runs at given places (x, y) by variant, each seed a little off."""
    rng = np.random.default_rng(0)
    offsets = noise * rng.standard_normal((seeds, len(places), 2))
    records = [
        record(
            [[0.9, 0.1], [min(1.0, y + dy), min(1.0, x + dx)]],
            strategy=name,
            strength=strength,
            seed=seed,
        )
        for seed in range(seeds)
        for ((name, strength), (x, y)), (dx, dy) in zip(
            places.items(), offsets[seed].tolist(), strict=True
        )
    ]
    return group(records[::order])


PLACES = {
    ("finetune", None): (0.9, 0.5),
    ("freeze", None): (0.7, 0.8),
    ("independent", None): (0.95, 0.9),
    ("ewc", 1.0): (0.85, 0.6),
    ("ewc", 10.0): (0.8, 0.725),
    ("wpl", 1.0): (0.8, 0.7),
    ("wpl", 10.0): (0.75, 0.65),
}


def test_frontiers_by_hand(record):
    found = frontiers(plane(record, PLACES))
    assert [end.variant.kind for end in found.ends] == ["finetune", "freeze", "independent"]
    assert not any(end.dominated for end in found.ends)
    ewc, wpl = found.frontiers
    assert [point.variant.strength for point in ewc.points] == [1.0, 10.0]
    assert [point.x.value for point in ewc.points] == pytest.approx([0.85, 0.8])
    assert [point.dominated for point in (*ewc.points, *wpl.points)] == [False, False, True, True]
    assert ewc.hypervolume.value == pytest.approx(0.5 * 0.75 + 0.25 / 3)
    assert wpl.hypervolume.value == pytest.approx(0.5 * 2 / 3)
    assert ewc.hypervolume.low == ewc.hypervolume.high == ewc.hypervolume.value
    assert ewc.reason is None


def test_interval_resamples_seeds_jointly(record):
    cells = plane(record, PLACES, noise=0.01)
    by_name = {
        cell.variant: np.array(
            [(r.metrics["learning_accuracy"], r.metrics["stability"]) for r in cell.done]
        )
        for cell in cells
    }
    ewc = [by_name[cell.variant] for cell in cells if cell.variant.strategy == "ewc"]
    finetune, freeze = (
        next(places for v, places in by_name.items() if v.kind == kind)
        for kind in ("finetune", "freeze")
    )
    rng = np.random.default_rng(9)
    values = []
    for _ in range(3000):
        seeds = rng.integers(0, 5, 5)
        x, y = np.array([places[seeds].mean(axis=0) for places in ewc]).T
        values.append(hypervolume(x, y, finetune[seeds].mean(axis=0), freeze[seeds].mean(axis=0)))
    half = stats.t.ppf(0.975, 4) * np.sqrt(5 / 4) * np.std(values)
    found = frontiers(cells).frontiers[0].hypervolume
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.08)


def test_order_of_runs_changes_nothing(record):
    there, back = (frontiers(plane(record, PLACES, noise=0.01, order=o)) for o in (1, -1))
    assert there == back


def test_one_seed_has_no_interval(record):
    ewc = frontiers(plane(record, PLACES, seeds=1)).frontiers[0].hypervolume
    assert (ewc.low, ewc.high, ewc.n) == (None, None, 1)
    assert ewc.value is not None


def test_only_seeds_that_all_have_count(record):
    places = dict(PLACES)
    cells = plane(record, places, noise=0.01)
    short = [
        record([[0.9, 0.1], [0.7, 0.8]], strategy=name, strength=100.0, seed=seed)
        for name, seeds in (("ewc", (0, 2, 9)), ("wpl", range(5)))
        for seed in seeds
    ]
    cells = group([r for cell in cells for r in cell.runs] + short)
    ewc, wpl = frontiers(cells).frontiers
    assert ewc.hypervolume.n == 2
    assert wpl.hypervolume.n == 5


@pytest.mark.parametrize("missing", ["finetune", "freeze"])
def test_no_hypervolume_without_both_ends(record, missing):
    places = {key: place for key, place in PLACES.items() if key[0] != missing}
    ewc = frontiers(plane(record, places)).frontiers[0]
    assert (ewc.hypervolume.value, ewc.hypervolume.n) == (None, 0)
    assert "fine-tuning and freezing" in ewc.reason
    assert len(ewc.points) == 2


def test_no_hypervolume_where_the_ends_leave_no_room(record):
    places = PLACES | {("finetune", None): (0.9, 0.795)}
    ewc = frontiers(plane(record, places)).frontiers[0]
    assert ewc.hypervolume.value is None
    assert "one point" in ewc.reason


def test_more_strengths_are_no_better_frontier(record):
    """EWC is WPL at one of its strengths: the same computation, less of the rectangle."""
    places = {key: place for key, place in PLACES.items() if key[0] != "wpl"}
    more = places | {("ewc", 5.0): (0.88, 0.66), ("wpl", 5.0): (0.88, 0.66)}
    ewc, wpl = frontiers(plane(record, more)).frontiers
    assert (ewc.budget, wpl.budget) == (3, 1)
    assert wpl.hypervolume.value is None
    assert wpl.reason == "the others have 3 strengths, and more fill more"
    # Given as many, they are compared; alone there is nothing to be unfair to.
    fair = more | {("wpl", d): more["ewc", d] for d in (1.0, 10.0)}
    ewc, wpl = frontiers(plane(record, fair)).frontiers
    assert ewc.hypervolume == wpl.hypervolume
    assert ewc.hypervolume.value > 0.5
    # One that has no strengths does not make them unfair, but is not to be compared with them.
    *swept, replay = frontiers(plane(record, fair | {("zero", None): (0.8, 0.7)})).frontiers
    assert [frontier.hypervolume for frontier in swept] == [ewc.hypervolume] * 2
    assert replay.reason == "the others have 3 strengths, and more fill more"
    # Two pairs of equal budgets in one table are not comparable, either.
    si = {(name, d): (0.85, 0.68) for name in ("si", "si2") for d in (1.0, 2.0)}
    found = frontiers(plane(record, fair | si)).frontiers
    assert [frontier.budget for frontier in found] == [3, 2, 2, 3]
    assert {frontier.hypervolume.value for frontier in found} == {None}
    assert {f.reason for f in found} == {"the strategies have 2 to 3 strengths, and more fill more"}
    (alone,) = frontiers(plane(record, {**places, ("ewc", 5.0): (0.88, 0.66)})).frontiers
    assert alone.hypervolume == ewc.hypervolume
