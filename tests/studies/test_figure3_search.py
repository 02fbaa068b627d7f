"""The search behind the paper's figure 3: its own loop against the harness, and its stages."""

import csv
from dataclasses import replace

import pytest
import yaml
from one_run import execute

from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.configs.paper import figure3_search
from palimpsest.configs.paper.figure3_loop import (
    PAPER,
    TARGETS,
    Experiment,
    Options,
    Row,
    Setting,
    harness_settings,
    paper_curve,
)
from palimpsest.configs.paper.figure3_search import draw_settings, nearest, ranking, search, write

STEPS = (6, 12, 18, 24, 30)
SETTING = Setting(
    width=8, activation="relu", shared_layers=2, batch_size=32, learning_rate=0.6, momentum=0.0,
    shared_decay=0.05, private_decay=0.01,
)  # fmt: skip


@pytest.fixture
def options(tmp_path):
    return Options("digits", tmp_path, STEPS)


@pytest.mark.parametrize(
    "changes",
    [{}, {"momentum": 0.9, "activation": "tanh", "shared_layers": 4}],
    ids=["sgd", "momentum"],
)
@pytest.mark.parametrize("strength", [0.0, 10.0])
@pytest.mark.parametrize("panel", ["a", "b"])
def test_its_loop_is_the_harness(options, tmp_path, changes, strength, panel, monkeypatch):
    monkeypatch.setitem(TARGETS, "b", 0.2)
    setting = replace(SETTING, **changes)
    row = Experiment(setting, 7, options).measure(0, panel, strength)
    suite = {
        "suite": "one",
        "seeds": [7],
        "scenarios": {"it": harness_settings(options, setting, TARGETS[panel])},
        "strategies": {"wpl": {"strengths": [strength]}} if strength else {"finetune": {}},
    }
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(suite))
    (run,) = load_suite(path).runs("cpu", tmp_path)
    record = execute(run, tmp_path)
    assert record.status == "done", record.error
    if panel == "b":
        assert 0 < record.curves[0]["steps"][-1] < STEPS[-1]  # A did stop
    curve = record.curves[1]
    assert curve["steps"] == [0, *STEPS]
    for own, theirs in zip((row.a, row.b), curve["accuracy"], strict=True):
        assert own == pytest.approx([100 * value for value in theirs[1:]])


def test_a_distance_is_that_of_the_ten_points(options):
    row = Experiment(SETTING, 7, options).measure(3, "c", 0.0)
    a, b = PAPER["c"]["plain"]
    squares = [(x - y) ** 2 for x, y in zip((*row.a, *row.b), (*a, *b), strict=True)]
    assert row.distance == pytest.approx((sum(squares) / 10) ** 0.5)
    assert (row.setting, row.panel, row.strength, row.seed) == (3, "c", 0.0, 7)


def rows(setting, strength, distances):
    panels = zip("abcd", distances, strict=False)
    return [Row(setting, panel, strength, 0, d, (), ()) for panel, d in panels]


def test_settings_are_ranked_over_all_panels():
    plain = rows(0, 0.0, [1, 1, 1, 9]) + rows(1, 0.0, [4, 4, 4, 4]) + rows(2, 0.0, [0, 0])
    assert ranking(plain, with_wpl=False) == [(1, 0.0), (0, 0.0)]  # 2 lacks panels
    both = plain + rows(0, 3.0, [1] * 4) + rows(0, 10.0, [2] * 4) + rows(1, 3.0, [9] * 4)
    assert ranking(both, with_wpl=True) == [(0, 3.0), (1, 3.0)]


def test_the_settings_are_the_same_ones_each_time():
    first = draw_settings(50)
    assert first[:20] == draw_settings(20)
    assert {setting.momentum for setting in first} == {0.0, 0.9}
    assert all(0.01 <= setting.shared_decay <= 0.15 for setting in first)


def test_the_nearest_is_that_of_the_mean_curves():
    def row(setting, strength, seed, off):
        return [
            replace(Row(setting, panel, strength, seed, 0.0, (), ()), a=a, b=b)
            for panel in "abcd"
            for a, b in [[tuple(v + off for v in half) for half in halves(panel, strength)]]
        ]

    # Seeds of setting 0 lie on both sides of the figure, those of setting 1 nearer, on one side.
    rows = [
        *row(0, 0.0, 1, 9), *row(0, 0.0, 2, -9), *row(0, 3.0, 1, 9), *row(0, 3.0, 2, -9),
        *row(1, 0.0, 1, 2), *row(1, 0.0, 2, 2), *row(1, 3.0, 1, 2), *row(1, 3.0, 2, 2),
    ]  # fmt: skip
    assert nearest(rows, [0, 1]) == (0, 3.0)
    assert nearest(rows, [1]) == (1, 3.0)


def halves(panel, strength):
    values = paper_curve(panel, strength)
    return values[:5], values[5:]


@pytest.mark.thorough
def test_a_search_in_small(options, tmp_path, monkeypatch):
    small = {"GIVE_UP": 1000.0, "SECOND": 2, "THIRD": 1, "FOURTH": 1, "RATES": (0.1,)}
    small |= {"BATCHES": (32,), "STRENGTHS": (9.0,), "MORE_STRENGTHS": (9.0, 27.0)}
    for name, value in small.items():
        monkeypatch.setattr(figure3_search, name, value)
    saved = []
    found, settings, last = search(options, 3, 1, lambda *now: saved.append(list(map(len, now))))
    write(found, settings, tmp_path / "search.csv")
    with (tmp_path / "search.csv").open() as file:
        table = list(csv.DictReader(file))
    stages = [3 * 4, 2 * (4 + 2 * 4), 6 * 8, 3 * 8, 8 * 12 - 8]
    assert len(table) == len(found) == sum(stages)
    assert {row["seed"] for row in table} == {str(seed) for seed in figure3_search.SEEDS}
    fourth = table[sum(stages[:3]) : sum(stages[:4])]
    assert [row["setting"] for row in fourth] == [n for n in "345" for _ in range(8)]
    finalist = {row["setting"] for row in table[: sum(stages[:3])] if row["seed"] == "1007"}
    assert {row["setting"] for row in table[sum(stages[:4]) :]} == {str(last)}
    assert saved == [[sum(stages[:n]), 3 if n < 4 else 6] for n in range(1, 6)]
    curves = [(row["panel"], row["strength"], row["seed"], row["setting"]) for row in table]
    assert len(set(curves)) == len(curves)
    assert settings[4] == replace(settings[int(*finalist)], learning_rate=0.1, batch_size=32)
    assert float(table[0]["distance"]) == pytest.approx(found[0].distance, abs=0.01)
