from dataclasses import replace

import pytest
from known_facts import with_dial

from palimpsest.reports.analysis.choosing.coarseness import coarse_text, gaps
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.analysis.verdicts import verdicts
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.interval import mean_estimate
from palimpsest.reports.tables.ranking import choice_table

SPREAD = (-0.02, 0.02, -0.01, 0.01)
"""Around a mean, by seed: the interval reaches about 0.029 from it."""


@pytest.fixture
def cells(record):
    """Cells of one strategy with validation scores of four seeds around means."""

    def make(means, *, test=0.5, spread=SPREAD, failed=(), **named):
        kind = named.pop("strategy", "ewc")
        records = []
        for strength, mean in means.items():
            own = mean if isinstance(mean, tuple) else [mean + off for off in spread]
            for seed, score in enumerate(own):
                made = record(
                    [[0.9, 0.1], [test, test]], strategy=kind, strength=float(strength), seed=seed,
                    error="diverged" if strength in failed and not seed else None, **named,
                )  # fmt: skip
                matrix = [[0.9, 0.1], [score - 0.1, score + 0.1]]
                records.append(replace(made, validation_matrix=matrix))
        return group(records)

    return make


def renamed(cells, dial):
    """The same runs, of a dial of that name."""
    return group([with_dial(record, dial) for cell in cells for record in cell.done])


def found(cells):
    (choice,) = choose(cells)
    own = gaps(choice)
    return [gap.beside.cell.variant.strength for gap in own]


def test_the_bound_is_the_lower_end_of_the_best_ones_interval(cells):
    low = mean_estimate({"": dict(enumerate(0.8 + off for off in SPREAD))}).low
    allowed = 0.8 - low
    assert 0.02 < allowed < 0.04
    within, beyond = 0.8 - 0.99 * allowed, 0.8 - 1.01 * allowed
    assert found(cells({1: within, 10: 0.8, 100: within})) == []
    assert found(cells({1: beyond, 10: 0.8, 100: within})) == [1]
    assert found(cells({1: beyond, 10: 0.8, 100: beyond})) == [1, 100]
    (choice,) = choose(cells({1: within, 10: 0.8, 100: beyond}))
    (gap,) = gaps(choice)
    assert gap.drop == pytest.approx(1.01 * allowed)
    assert gap.allowed == pytest.approx(allowed)


def test_only_neighbours_count(cells):
    assert found(cells({1: 0.2, 3: 0.79, 10: 0.8, 30: 0.79, 100: 0.2})) == []


@pytest.mark.parametrize("lead", [0.001, -0.001])
def test_of_two_equal_values_either_says_it(cells, lead):
    """The ten models' EWC at 10, 100 and 1000, where 30 was better: a gap, or an open end."""
    (choice,) = choose(cells({10: 0.8, 100: 0.8 + lead, 1000: 0.7}))
    far = [gap.beside.cell.variant.strength for gap in gaps(choice)]
    assert (choice.open_end, far) == ((None, [1000]) if lead > 0 else ("weakest", []))
    if lead > 0:
        assert coarse_text(choice) == (
            "tried 10, 100 and 1000; best 100; 1000 is 10.1 points below it (seeds ±2.9)"
        )


def test_a_neighbour_that_failed_is_too_far(cells):
    (choice,) = choose(cells({1: 0.79, 10: 0.8, 100: 0.9}, failed={100}))
    (gap,) = gaps(choice)
    assert gap.drop is None
    assert gap.text == "100 has failed runs"


@pytest.mark.parametrize("mean", [0.8, 0.1])
def test_test_results_take_no_part(cells, mean):
    fine = {1: 0.79, 10: 0.8, 100: 0.79}
    assert found(cells(fine, test=mean)) == []
    assert found(cells({**fine, 100: 0.7}, test=mean)) == [100]


def test_equal_seeds_leave_nothing_open(cells):
    assert found(cells({1: 0.8, 10: 0.8, 100: 0.79}, spread=(0, 0, 0, 0))) == []
    assert found(cells({1: 0.79, 10: 0.8, 100: 0.8}, spread=(0, 0, 0, 0))) == [1]


def test_ranks_side_by_side_and_memories_are_never_coarse(cells):
    sharp = cells({1: 0.2, 2: 0.8, 3: 0.2})
    assert found(sharp) == found(renamed(sharp, "scale")) == [1, 3]
    assert found(renamed(sharp, "rank")) == []
    assert found(renamed(cells({1: 0.2, 2: 0.8, 4: 0.2}), "rank")) == [4]
    assert found(renamed(cells({100: 0.2, 200: 0.8, 400: 0.2}), "memory")) == []


def test_it_is_said_in_the_caveats_at_the_row_and_in_the_table(cells):
    coarse = {10: 0.7, 100: 0.8, 1000: 0.6}
    fine = {10: 0.79, 100: 0.8, 1000: 0.79}
    members = [*cells(coarse), *cells(fine, strategy="wpl", test=0.6)]
    choices = choose(members)
    (said,) = (text for text in caveats(members, choices, []) if "coarse" in text)
    assert said.startswith(
        "same: the grid of ewc is coarse: tried 10, 100 and 1000; best 100; 10 is 10.0 points "
        "below it (seeds ±2.9) and 1000 is 20.0 points below it (seeds ±2.9). Scores are of the "
        "validation"
    )
    assert "wpl" not in said
    (one,) = verdicts(choices, members)
    marks = {c.name: c.marks for c in one.contenders}
    assert marks == {"ewc": ("coarse grid",), "wpl": ()}
    table = choice_table(choices)
    assert [str(getattr(row.cells[3], "note", "")) for row in table.rows] == ["coarse grid", ""]
