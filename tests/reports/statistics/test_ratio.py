"""Forgetting removed: a ratio of means over seeds, and where there is nothing to remove."""

import numpy as np
import pytest
from scipy import stats

from palimpsest.reports.analysis.changes import compare_stores
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.ranking import ranking, ranking_frame
from palimpsest.reports.analysis.remarks import caveats
from palimpsest.reports.analysis.remarks.findings import findings
from palimpsest.reports.formats.terminal import summary_rows
from palimpsest.reports.runs.cells import group
from palimpsest.reports.runs.frames import summary_frame
from palimpsest.reports.statistics.ratio import (
    NOTHING,
    UNCLEAR,
    difference_of_shares,
    linearised,
    ratio_of_means,
    removed,
    scaled,
)
from palimpsest.reports.tables.metrics import metrics_table


def pairs(ours, plain):
    return dict(enumerate(zip(map(float, ours), map(float, plain), strict=True)))


def inside(share, a, b):
    """Whether Student's test keeps the hypothesis that a - (1 - share) b has mean zero."""
    return stats.ttest_1samp(a - (1 - share) * b, 0).pvalue >= 0.05


def test_one_seed_without_forgetting_does_not_decide():
    """The audit's store: fine-tuning forgot 5.6e-17 with one seed, and the mean was -9e14."""
    plain = [0.3, 0.25, 0.35, 0.28, 5.6e-17]
    found = removed(pairs([0.09, 0.07, 0.11, 0.08, 0.05], plain))
    assert found.value == pytest.approx(1 - 0.4 / 1.18)
    assert 0 < found.low < found.value < found.high < 1


def test_the_interval_holds_what_students_test_keeps():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(4, 12))
        b = rng.normal(0.2, 0.05, n)
        a = 0.3 * b + rng.normal(0, 0.03, n)
        share = removed(pairs(a, b))
        assert share.value == pytest.approx(1 - a.mean() / b.mean())
        width = share.high - share.low
        assert inside(share.low + 1e-6 * width, a, b) and inside(share.high - 1e-6 * width, a, b)
        assert not inside(share.low - 1e-6 * width, a, b)
        assert not inside(share.high + 1e-6 * width, a, b)


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        ([0.009] * 5, NOTHING),
        ([-0.1, -0.2, -0.1, -0.1], NOTHING),
        ([5.6e-17], NOTHING),
        ([0.2, -0.15, 0.1, -0.05, 0.01], UNCLEAR),
        ([0.2, 0.005], UNCLEAR),
        ([0.2, 0.02, 0.3, 0.011], UNCLEAR),
        ([0.2, 0.1], None),
        ([0.011], None),
        ([], None),
    ],
)
def test_where_there_is_nothing_to_remove(plain, reason):
    found = removed(pairs([0.05] * len(plain), plain))
    assert found.reason == reason
    assert found.n == len(plain)
    shown = bool(plain) and reason is None
    assert (found.value is not None) == shown
    assert (linearised(pairs([0.05] * len(plain), plain)) != {}) == shown
    assert (scaled(pairs([0.05] * len(plain), plain)) != {}) == shown
    assert found.low is None


def test_the_order_of_runs_changes_nothing():
    rng = np.random.default_rng(3)
    for _ in range(20):
        table = pairs(rng.normal(0.05, 0.02, 7), rng.normal(0.2, 0.05, 7))
        turned = {seed: table[seed] for seed in rng.permutation(7).tolist()}
        assert removed(turned) == removed(table)
        assert linearised(turned) == linearised(table)


def test_single_seeds_stand_in_their_order():
    assert removed(pairs([0.06, 0.1, 0.02], [0.2] * 3)).seeds == pytest.approx((0.7, 0.5, 0.9))


def test_nothing_forgotten_and_everything_forgotten_are_certain():
    plain = [0.2, 0.3, 0.25, 0.1]
    for ours, share in (([0.0] * 4, 1.0), (plain, 0.0)):
        found = removed(pairs(ours, plain))
        assert (found.value, found.low, found.high) == (share, share, share)


def test_values_by_seed_have_the_ratio_as_their_mean():
    rng = np.random.default_rng(4)
    table = pairs(rng.normal(0.05, 0.02, 9), rng.normal(0.2, 0.05, 9))
    share = removed(table).value
    assert np.mean(list(scaled(table).values())) == pytest.approx(share)
    assert np.mean(list(linearised(table).values())) == pytest.approx(share)
    # The spread of the linear ones is that of the ratio: that of a jackknife, nearly.
    left_out = [removed({s: p for s, p in table.items() if s != out}).value for out in table]
    jackknife = np.sqrt(8 / 9 * np.square(np.array(left_out) - np.mean(left_out)).sum())
    delta = np.std(list(linearised(table).values()), ddof=1) / 3
    assert delta == pytest.approx(jackknife, rel=0.15)


def test_the_difference_of_two_shares_is_a_ratio_of_means():
    rng = np.random.default_rng(5)
    plain = rng.normal(0.2, 0.04, 8)
    ours, theirs = rng.normal(0.05, 0.02, 8), rng.normal(0.08, 0.02, 8)
    found = difference_of_shares(pairs(ours, plain), pairs(theirs, plain))
    one, other = removed(pairs(ours, plain)), removed(pairs(theirs, plain))
    assert found.value == pytest.approx(one.value - other.value)
    assert found == ratio_of_means(theirs - ours, plain)
    # Zero is inside just where the paired test of forgetting keeps "no difference".
    for shift in np.linspace(-0.1, 0.1, 41):
        moved = difference_of_shares(pairs(ours + shift, plain), pairs(theirs, plain))
        kept = stats.ttest_rel(theirs, ours + shift).pvalue >= 0.05
        assert (moved.low <= 0 <= moved.high) == kept


# In a report


def forgets(plain, ours):
    """Fine-tuning's and the strategy's accuracy matrices."""
    return [[0.9, 0.1], [0.9 - plain, 0.9]], [[0.9, 0.1], [0.9 - ours, 0.8]]


def runs(record, losses):
    made = []
    for seed, (plain, ours) in enumerate(losses):
        lost, kept = forgets(plain, ours)
        references = {"baseline": lost}
        made.append(record(lost, seed=seed, references=references))
        made.append(record(kept, strategy="wpl", strength=1.0, seed=seed, references=references))
    return made


LOSSES = [(0.3, 0.09), (0.25, 0.07), (0.35, 0.11), (0.28, 0.08), (5.6e-17, 0.05)]


def test_every_part_of_the_report_has_the_same_number(record):
    records = runs(record, LOSSES)
    cells = group(records)
    share = next(c for c in cells if c.variant.strategy == "wpl").removed
    assert share.value == pytest.approx(1 - 0.4 / 1.18)
    frame = summary_frame(cells).set_index(["variant", "metric"])
    assert frame.loc[("wpl, strength 1", "forgetting_reduction"), "mean"] == share.value
    shown = f"{100 * share.value:.1f}"
    table = metrics_table(cells)
    texts = {c.title: e.text for c, e in table.entries(table.rows[1])}
    assert texts["forgetting reduction"] == shown
    (finding,) = findings(cells, choose(cells))
    assert f"avoids {shown}" in finding.strategies[0]
    (row,) = (row for row in summary_rows(records) if row.variant.startswith("wpl"))
    assert row.metrics["forgetting_reduction"] == share
    standing = next(s for s in ranking(choose(cells)) if s.metric == "forgetting_reduction")
    place = next(row for row in standing.rows if row.strategy == "wpl")
    assert place.mean == share
    assert place.against_baseline.difference.value == pytest.approx(share.value)
    assert place.against_baseline.difference.low == pytest.approx(share.low)
    assert place.iqm.value is place.median.value is None
    data = ranking_frame([standing]).set_index("strategy")
    assert data.loc["wpl", "mean"] == share.value
    # A single run has a share only where its own seed has something to remove.
    single = {r.seed: r.metrics for cell in cells for r in cell.done if r.strategy == "wpl"}
    assert single[4]["forgetting_reduction"] is None
    assert single[4]["finetune_forgetting"] == pytest.approx(0)
    assert single[0]["forgetting_reduction"] == pytest.approx(0.7)


def test_every_part_of_the_report_says_that_there_is_nothing_to_remove(record):
    records = runs(record, [(plain / 100, ours) for plain, ours in LOSSES])
    cells = group(records)
    frame = summary_frame(cells).set_index(["variant", "metric"])
    cell = frame.loc[("wpl, strength 1", "forgetting_reduction")]
    assert np.isnan(cell["mean"]) and cell["reason"] == NOTHING
    table = metrics_table(cells)
    entry = {c.title: e for c, e in table.entries(table.rows[1])}["forgetting reduction"]
    assert (entry.text, entry.note) == ("–", NOTHING)
    choices = choose(cells)
    (finding,) = findings(cells, choices)
    assert "forget less than a point" in finding.references
    assert "so there is nothing to remove" in finding.references
    assert "avoids" not in finding.strategies[0]
    assert any(
        "forgets less than 1 point on average" in t for t in caveats.caveats(cells, choices, [])
    )
    assert all(
        row.metrics["forgetting_reduction"].reason == NOTHING for row in summary_rows(records)
    )
    assert not any(s.metric == "forgetting_reduction" for s in ranking(choices))


def test_all_of_a_share_against_none_of_it_is_no_finding(record):
    """Freezing forgets nothing, whatever the runs: 100 % is no result that could be tested."""
    made = runs(record, [(0.3 + 0.03 * seed, 0.1 + 0.01 * seed) for seed in range(5)])
    for one in [r for r in made if r.strategy == "finetune"]:
        kept = [[0.9, 0.1], [0.9, 0.5]]
        references = {"baseline": one.accuracy_matrix}
        made.append(record(kept, strategy="freeze", seed=one.seed, references=references))
    standing = next(s for s in ranking(choose(group(made))) if s.metric == "forgetting_reduction")
    rows = {row.strategy: row for row in standing.rows}
    for found, value in ((rows["freeze"].against_baseline, 1), (rows["finetune"].against_best, -1)):
        assert found.difference.value == found.difference.low == found.difference.high == value
        assert (found.p, found.p_holm) == (None, None)
        assert (found.effect, found.rank_biserial) == (None, None)
    # What was measured is tested; its family are the tests that were made.
    measured = rows["wpl"].against_baseline
    avoided = [0.2 + 0.02 * seed for seed in range(5)]  # fine-tuning’s forgetting minus ours
    assert measured.p == measured.p_holm
    assert measured.p == pytest.approx(stats.ttest_1samp(avoided, 0).pvalue)
    assert measured.effect > 0


def test_two_stores_are_compared_by_the_ratio(record):
    """And not by the mean of single ratios, which one seed of 1.1 points decides."""
    before = [(0.3, 0.09), (0.25, 0.07), (0.35, 0.11), (0.28, 0.08), (0.011, 0.05), (0.3, 0.1)]
    after = [(plain, ours + 0.05) for plain, ours in before]
    stores = [runs(record, losses) for losses in (before, after)]
    (found,) = (
        change
        for change in compare_stores(*stores, ["forgetting_reduction"]).changes
        if change.variant.startswith("wpl")
    )
    plain = sum(p for p, _ in before)
    assert found.comparison.a == pytest.approx(1 - sum(o for _, o in before) / plain)
    assert found.comparison.b == pytest.approx(1 - sum(o for _, o in after) / plain)
    little = [runs(record, [(p / 100, o) for p, o in side]) for side in (before, after)]
    assert not compare_stores(*little, ["forgetting_reduction"]).changes


def expected_p(made, scenarios):
    """Of EWC beside WPL: of their forgetting in one scenario, of the delta method in several."""
    lost = {(r.scenario, r.strategy, r.seed): r.metrics["forgetting"] for r in made}
    moved = []
    for scenario in scenarios:
        plain, ewc, wpl = (
            np.array([lost[scenario, name, seed] for seed in range(6)])
            for name in ("finetune", "ewc", "wpl")
        )
        if len(scenarios) == 1:
            return stats.ttest_rel(ewc, wpl).pvalue
        apart = (wpl - ewc).mean() / plain.mean()
        moved.append(apart + (wpl - ewc - apart * plain) / plain.mean())
    return stats.ttest_1samp(np.mean(moved, axis=0), 0).pvalue


def test_rankings_compare_shares_by_forgetting(record):
    rng = np.random.default_rng(6)
    made = []
    for scenario, unit in (("one", 0.3), ("two", 0.05)):
        for seed in range(6):
            plain = unit * (1 + 0.2 * rng.standard_normal())
            for name, kept in (("ewc", 0.4), ("wpl", 0.2)):
                ours = kept * unit * (1 + 0.1 * rng.standard_normal())
                lost, own = forgets(float(plain), float(ours))
                references = {"baseline": lost}
                made.append(record(own, scenario=scenario, strategy=name, seed=seed,
                                   references=references))  # fmt: skip
            made.append(record(lost, scenario=scenario, seed=seed, references=references))
    cells = group(made)
    of = {(c.scenario, c.variant.strategy): c.removed for c in cells}
    found = [s for s in ranking(choose(cells)) if s.metric == "forgetting_reduction"]
    assert [s.scenarios for s in found] == [("one",), ("two",), ("one", "two")]
    for standing in found:
        by_name = {row.strategy: row for row in standing.rows}
        assert standing.best == ("wpl",)
        means = {n: np.mean([of[s, n].value for s in standing.scenarios]) for n in ("ewc", "wpl")}
        for name, mean in means.items():
            assert by_name[name].mean.value == pytest.approx(mean)
        against = by_name["ewc"].against_best
        assert against.difference.value == pytest.approx(means["ewc"] - means["wpl"])
        assert against.difference.low < against.difference.value < against.difference.high < 0
        assert against.p == pytest.approx(expected_p(made, standing.scenarios))
        assert by_name["finetune"].mean.value == pytest.approx(0)
