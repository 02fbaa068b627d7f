"""Strengths that diverge or break training down: found, said and drawn."""

from xml.etree import ElementTree

import pytest
from known_facts import with_dial

from palimpsest.benchmark.runs.record import Dial
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.frontier import frontiers
from palimpsest.reports.analysis.remarks.breakdown import (
    LEAST_FALL,
    breakdown_sentences,
    breakdowns,
)
from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.figures.drawing.settings import figure_settings
from palimpsest.reports.figures.drawing.style import styles
from palimpsest.reports.figures.frontier import Plane, plane_plot
from palimpsest.reports.figures.strengths import sweep_plot
from palimpsest.reports.formats.svg import svg_element
from palimpsest.reports.runs.cells import group

NAN = "DivergedError: the loss became NaN or infinite by step 50 of model 2"
GRADIENT = {"application": "gradient"}
WHY = (
    ": its penalty is added to the gradient, which overshoots once learning rate × strength × "
    "importance exceeds about 2; application: proximal is stable at every strength"
)


def ends(kept, learned):
    return [[0.95, 0.1], [kept, learned]]


@pytest.fixture
def runs(record):
    """One strategy: by strength what each seed keeps and learns, or its error."""

    def make(strategy, places, **settings):
        return [
            record(strategy=strategy, strength=strength, seed=seed, error=place, **settings)
            if isinstance(place, str)
            else record(ends(*place), strategy=strategy, strength=strength, seed=seed, **settings)
            for strength, own in places.items()
            for seed, place in enumerate(own)
        ]

    return make


@pytest.fixture
def gradient(runs):
    """Sound at 1, half gone at 10, all broken down at 100, all diverged from 1000 on."""
    places = {
        1.0: [(0.8, 0.9)] * 3,
        10.0: [(0.85, 0.8), NAN, (0.85, 0.8)],
        100.0: [(0.1, 0.12)] * 3,
        1e3: [NAN] * 3,
        1e4: [NAN] * 3,
    }
    return [
        *runs("finetune", {None: [(0.5, 0.9)] * 3}),
        *runs("freeze", {None: [(0.95, 0.6)] * 3}),
        *runs("pulled", places, kind="wpl", settings=GRADIENT),
    ]


def found(records):
    return {
        (loss.variant.strategy, loss.variant.strength): (loss.diverged, loss.broken, loss.seeds)
        for loss in breakdowns(group(records))
    }


# What is found


def test_what_diverged_and_what_broke_down(gradient):
    assert found(gradient) == {
        ("pulled", 10.0): ((1,), (), 3),
        ("pulled", 100.0): ((), (0, 1, 2), 3),
        ("pulled", 1e3): ((0, 1, 2), (), 3),
        ("pulled", 1e4): ((0, 1, 2), (), 3),
    }


def test_the_error_that_counts_is_the_one_that_training_raises(runs):
    from palimpsest.benchmark.training.control import DivergedError

    assert found(runs("wpl", {1.0: [f"{DivergedError.__name__}: parameter w is NaN"]}))
    assert not found(runs("wpl", {1.0: ["OutOfMemoryError: DivergedError: not this one"]}))


def test_a_seed_that_was_tried_again_and_finished_is_not_lost(runs, record):
    again = record(
        ends(0.8, 0.8), strategy="wpl", strength=1.0, started="2026-04-01T10:00:00+00:00"
    )
    assert found([*runs("wpl", {1.0: [NAN]}), again]) == {}


@pytest.mark.parametrize(
    ("kept", "learned", "broken"),
    [
        (0.8 - LEAST_FALL - 0.01, 0.9 - LEAST_FALL - 0.01, True),
        (0.8 - LEAST_FALL - 0.01, 0.9 - LEAST_FALL + 0.01, False),  # still learns
        (0.8 - LEAST_FALL + 0.01, 0.9 - LEAST_FALL - 0.01, False),  # still keeps: that is the trade
        (0.95, 0.1, False),
        (0.1, 0.95, False),
    ],
)
def test_broken_down_is_what_loses_both(runs, kept, learned, broken):
    records = runs("wpl", {1.0: [(0.8, 0.9)], 10.0: [(kept, learned)]})
    assert bool(found(records)) == broken


def test_seeds_are_paired(runs):
    """Each seed loses nothing against itself, whatever other seeds reach."""
    places = [(0.9, 0.9), (0.3, 0.3), (0.4, 0.2)]
    assert found(runs("wpl", {1.0: places, 10.0: places})) == {}


def test_only_weaker_strengths_and_fine_tuning_are_compared_with(runs):
    assert found(runs("wpl", {1.0: [(0.1, 0.1)], 10.0: [(0.9, 0.9)]})) == {}
    assert found([*runs("wpl", {10.0: [(0.1, 0.1)]}), *runs("ewc", {1.0: [(0.9, 0.9)]})]) == {}
    plain = runs("finetune", {None: [(0.5, 0.9)]})
    assert found([*plain, *runs("wpl", {10.0: [(0.1, 0.1)]})]) == {("wpl", 10.0): ((), (0,), 1)}
    assert found([*plain, *runs("lwf", {None: [(0.1, 0.1)]})]) == {}
    assert found([*plain, *runs("freeze", {None: [(0.1, 0.1)]})]) == {}


@pytest.mark.parametrize(
    ("kind", "dial", "broken"),
    [
        ("fggm", "share", True),
        ("supsup", "density", False),
        ("ogl", "rank", True),
        ("smile", "rank", False),
        ("gpm", "energy", True),
        ("inflora", "energy", False),
        ("mine", "strength", True),
        ("mine", Dial("rank", "ranks"), False),
        ("mine", Dial("rank", "ranks", idle=0), True),
    ],
)
def test_fine_tuning_is_the_weakest_value_of_dials_that_begin_with_it(runs, kind, dial, broken):
    plain = runs("finetune", {None: [(0.8, 0.9)] * 3})
    weak = [with_dial(run, dial) for run in runs(kind, {0.5: [(0.5, 0.5)] * 3})]
    assert bool(breakdowns(group([*plain, *weak]))) is broken


@pytest.mark.parametrize(("broken", "counts"), [(1, False), (2, False), (3, True)])
def test_broken_runs_count_where_most_seeds_are_lost(runs, broken, counts):
    places = [(0.1, 0.1)] * broken + [(0.8, 0.9)] * (4 - broken)
    assert bool(found(runs("wpl", {1.0: [(0.8, 0.9)] * 4, 10.0: places}))) == counts


def test_a_diverged_seed_always_counts_and_makes_broken_ones_count(runs):
    sound = {1.0: [(0.8, 0.9)] * 4}
    one = [NAN, (0.8, 0.9), (0.1, 0.1), (0.8, 0.9)]
    two = [NAN, NAN, (0.1, 0.1), (0.8, 0.9)]
    assert found(runs("wpl", sound | {10.0: one})) == {("wpl", 10.0): ((0,), (), 4)}
    assert found(runs("wpl", sound | {10.0: two})) == {("wpl", 10.0): ((0, 1), (2,), 4)}


# What is said


def test_the_sentence_says_who_from_where_and_why(gradient):
    cells = group(gradient)
    (text,) = [text for text in caveats(cells, choose(cells), []) if "pulled div" in text]
    assert text == (
        "same: pulled diverges or breaks down (keeps and learns at least 20 points less than a "
        "weaker strength) from strength 10 on (10: 1 of 3 seeds diverged; 100: all 3 seeds broke "
        f"down; 1000 to 1e4: all 3 seeds diverged){WHY}."
    )


def test_the_proximal_twin_is_named_where_it_held_at_these_strengths(gradient, runs):
    def said(strategy, strengths, **settings):
        twin = runs(strategy, dict.fromkeys(strengths, [(0.9, 0.8)] * 3), **settings)
        (text,) = breakdown_sentences(group([*gradient, *twin]))
        return text.endswith(f"{WHY} ({strategy} loses no seed there).")

    lost = (10.0, 100.0, 1e3, 1e4)
    proximal = {"settings": {"application": "proximal"}}
    assert said("wpl", lost, **proximal)
    assert not said("wpl", lost[:-1], **proximal)
    assert not said("ewc", lost, **proximal)
    assert not said("other", lost, kind="wpl", settings={"fisher": "empirical"})


def test_no_reason_without_the_gradient_and_where_training_itself_diverges(runs):
    proximal = runs("wpl", {1.0: [(0.8, 0.9)], 10.0: [NAN]})
    (text,) = breakdown_sentences(group(proximal))
    assert text == "wpl diverges at strength 10 (10: 1 of 1 seed diverged)."
    pulled = runs("wpl", {10.0: [NAN, NAN]}, settings=GRADIENT)
    plain = runs("finetune", {None: [NAN, (0.5, 0.9)]})
    assert list(breakdown_sentences(group([*pulled, *plain]))) == [
        "finetune diverges (1 of 2 seeds diverged): training itself is unstable, whatever is "
        "protected.",
        "wpl diverges at strength 10 (10: all 2 seeds diverged).",
    ]


def test_strengths_that_hold_beyond_are_not_passed_over(runs):
    records = runs("wpl", {1.0: [NAN, (0.8, 0.9)], 10.0: [(0.8, 0.9)] * 2})
    (text,) = breakdown_sentences(group(records))
    assert text == "wpl diverges at some strengths (1: 1 of 2 seeds diverged)."


# What is drawn


def crosses(plot, strength_of_place):
    """What is drawn: by strength the number at each cross."""
    with figure_settings():
        figure = plot.draw()
    numbers = {}
    for ax in figure.axes:
        marks = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "x"]
        labels = {t.xy[0]: t.get_text() for t in ax.texts if hasattr(t, "xy")}
        numbers |= {strength_of_place(ax, x): labels[x] for x in marks}
    return numbers


def tick(ax, x):
    return dict(zip(ax.get_xticks(), (t.get_text() for t in ax.get_xticklabels()), strict=True))[x]


def test_the_sweep_has_a_cross_at_each_lost_strength(gradient):
    cells = group(gradient)
    plot = sweep_plot(choose(cells), styles(cells))
    assert crosses(plot, tick) == {"10": "1", "100": "3", "1000": "3", "1e4": "3"}
    assert "broke down" in plot.caption
    counts = plot.data.groupby("strength")[["diverged", "broke_down"]].max()
    assert counts.to_dict("index") == {
        1.0: {"diverged": 0, "broke_down": 0},
        10.0: {"diverged": 1, "broke_down": 0},
        100.0: {"diverged": 0, "broke_down": 3},
        1e3: {"diverged": 3, "broke_down": 0},
        1e4: {"diverged": 3, "broke_down": 0},
    }


def test_the_plane_has_a_margin_for_lost_strengths_and_no_point(gradient):
    cells = group(gradient)
    placed = frontiers(cells)
    assert [p.variant.strength for f in placed.frontiers for p in f.points] == [1.0]
    plot = plane_plot([Plane("", placed)], styles(cells), axes=("x", "y"))
    assert crosses(plot, tick) == {"10": "1", "100": "3", "1000": "3", "1e4": "3"}
    assert "broke down" in plot.caption
    texts = [t.text for t in ElementTree.fromstring(svg_element(plot)).iter() if t.text]
    assert "pulled" in texts
    rows = plot.data.set_index("variant")
    assert rows.loc["pulled, strength 100", "broke_down"] == 3
    assert rows.loc["pulled, strength 1e4", "diverged"] == 3
    assert rows.loc[rows["diverged"] + rows["broke_down"] > 0, "stability"].isna().all()
    assert len(rows) == len(cells)


def test_lost_strengths_take_no_part_in_the_area(gradient):
    sound = [r for r in gradient if r.strength in {None, 1.0}]
    (whole,), (part,) = frontiers(group(gradient)).frontiers, frontiers(group(sound)).frontiers
    assert whole.hypervolume == part.hypervolume
    assert whole.hypervolume.n == 3


def test_a_reference_that_lost_a_seed_keeps_its_place(runs):
    records = runs("finetune", {None: [NAN, (0.5, 0.9), (0.4, 0.9)]})
    placed = frontiers(group(records))
    assert [end.variant.kind for end in placed.ends] == ["finetune"]
    cells = group(records)
    plot = plane_plot([Plane("", placed)], styles(cells), axes=("x", "y"))
    assert crosses(plot, tick) == {"–": "1"}
    assert list(plot.data["diverged"]) == [1]


def test_without_losses_nothing_is_drawn(store):
    cells = [cell for cell in group(store) if cell.scenario == "same data"]
    look = styles(cells)
    for plot in (
        plane_plot([Plane("", frontiers(cells))], look, axes=("x", "y")),
        sweep_plot(choose(cells), look),
    ):
        assert crosses(plot, tick) == {}
        assert "broke down" not in plot.caption
