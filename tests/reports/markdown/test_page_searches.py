"""What a page shows of searches: figures, ratios, and forgetting at equal gain."""

from dataclasses import replace
from pathlib import PurePosixPath
from statistics import fmean
from xml.etree import ElementTree

import numpy as np
import pytest
from figure_checks import check, laid_out, marks, ordered
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from searching import CONTROLS, EPOCHS, NAMES, searches

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics.search import by_epoch
from palimpsest.reports.analysis.choosing.variants import Catalog
from palimpsest.reports.analysis.ground_truth import tau
from palimpsest.reports.figures.drawing.style import Styles
from palimpsest.reports.markdown.album import Album
from palimpsest.reports.markdown.searches import SearchStudy
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.ratio import ratio_of_means

CONTROL = [[scenario, "finetune"] for scenario in CONTROLS]
LINES = ["finetune", "wpl@0.1", "wpl@chosen", ["slow", "finetune"]]
PAGE = """\
{% set s = suite("nas") %}
{{ s.forgetting("a", scenarios=["fast"], variants=["finetune", "wpl@1", ["slow", "finetune"]]) }}
{{ s.rewards("b", scenario="fast", variants=["finetune", "wpl@1"]) }}
{{ s.rankings("c", scenario="fast", variants=["finetune", "wpl@1"], truth=s.truth("alone")) }}
{{ s.gains("d", scenario="fast", strategies=["finetune", "wpl"],
           series={"rate": [["slow", "finetune"], ["slower", "finetune"]]}) }}
{{ s.ratio("fast", "wpl@1", "finetune", "visit_forgetting") }}
{{ s.at_equal_gain("fast", "wpl@10", [["fast", "finetune"], ["slow", "finetune"],
                                      ["slower", "finetune"]]).ratio }}
"""


@pytest.fixture(scope="module", params=[False, True], ids=["rates", "perplexities"])
def found(record, request):
    return searches(record, perplexity=request.param)


@pytest.fixture
def study(found):
    return made(found)


def made(found):
    styles = Styles({(record.facts, record.strategy) for record in found})
    catalog = Catalog.of("nas", group(found))
    return SearchStudy(found, catalog, styles, Album(PurePosixPath("figures")))


def drawn(study):
    plot = study._album.plots[-1]
    figure = laid_out(plot)
    assert check(figure) == []
    return figure, plot


def runs_of(found, scenario, strategy, strength=None):
    chosen = (
        r for r in found if (r.scenario, r.strategy, r.strength) == (scenario, strategy, strength)
    )
    return sorted(chosen, key=lambda record: record.seed)


def visits(record):
    return record.visits or record.visits_perplexity


def unit(found):
    return 1 if runs_of(found, "fast", "finetune")[0].visits_perplexity else 100


def metric(found, name):
    return name if unit(found) == 100 else f"{name}_perplexity"


def line(ax, color):
    (lines,) = (c for c in ax.collections if isinstance(c, LineCollection))
    colors = [to_hex(own) for own in lines.get_colors()]
    (points,) = (x for x, c in zip(lines.get_segments(), colors, strict=True) if c == color)
    return np.asarray(points)


def test_the_curves_are_the_series_behind_the_metrics(study, found):
    study.forgetting("a", scenarios=["fast"], variants=LINES, labels={"slow": "rate/2"})
    figure, plot = drawn(study)
    assert len(figure.axes) == 3
    for ax, name in zip(figure.axes, ("", "best_", "largest_"), strict=True):
        series = [
            by_epoch(visits(r), f"{name}visit_forgetting")
            for r in runs_of(found, "fast", "finetune")
        ]
        points = line(ax, "#222222")
        assert list(points[:, 0]) == list(range(1, EPOCHS + 1))
        wanted = [unit(found) * fmean(own[epoch] for own in series) for epoch in range(EPOCHS)]
        assert points[:, 1] == pytest.approx(wanted)
        value = study.value("fast", "finetune", metric(found, f"{name}visit_forgetting"))
        assert points[:, 1].mean() == pytest.approx(value.mean)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["finetune", "wpl, strength 0.1", "wpl", "rate/2: finetune"]
    axis = "perplexity" if unit(found) == 1 else "points"
    assert figure.axes[0].get_ylabel() == f"err2 − err1, {axis}"
    assert "chosen on validation data" in plot.caption


def test_rewards_are_means_over_blocks_of_steps(study, found):
    study.rewards("a", scenario="fast", variants=["finetune", "wpl@1"])
    figure, _ = drawn(study)
    points = line(figure.axes[0], "#222222")
    rewards = [r.probes["search"]["rewards"] for r in runs_of(found, "fast", "finetune")]
    assert points[0].tolist() == pytest.approx([2, fmean(fmean(own[:3]) for own in rewards)])
    assert points[-1].tolist() == pytest.approx([130, fmean(own[-1] for own in rewards)])
    study.rewards("b", scenario="fast", variants=["finetune"], block=65)
    assert len(line(drawn(study)[0].axes[0], "#222222")) == 2


def test_rankings_stand_against_the_truth(study, found):
    truth = study.truth("alone")
    study.rankings(
        "a",
        scenario="fast",
        variants=["finetune", "wpl@1", "l2@1", "wpl@10", ["slow", "finetune"]],
        truth=truth,
    )
    figure, plot = drawn(study)
    assert len(figure.axes) == 5
    shown = ordered(figure.axes[0].lines[0].get_xydata())
    rankings = [r.probes["search"]["ranking"] for r in runs_of(found, "fast", "finetune")]
    wanted = [
        (
            unit(found) * fmean(own[place]["validation"] for own in rankings),
            unit(found) * truth.errors[name],
        )
        for place, name in enumerate(NAMES)
    ]
    assert shown == pytest.approx(ordered(wanted))
    tau = study.ranking("fast", "finetune", "tau", truth)
    title = figure.axes[0].get_title(loc="left")
    assert title == f"finetune\ntau {tau.mean:.2f} [{tau.low:.2f},\N{NO-BREAK SPACE}{tau.high:.2f}]"
    assert "3 seeds" in plot.caption


def test_rankings_are_compared_seed_by_seed_across_scenarios(study, found):
    truth = study.truth("alone")
    for other in ("fast", "slow"):
        number = study.ranking("fast", "wpl@1", "tau", truth, less=[other, "finetune"])
        ours, theirs = (
            [
                tau({row["architecture"]: row["validation"] for row in own}, truth.errors)
                for own in (r.probes["search"]["ranking"] for r in runs_of(found, *which))
            ]
            for which in (("fast", "wpl", 1), (other, "finetune"))
        )
        wanted = fmean(a - b for a, b in zip(ours, theirs, strict=True))
        assert number.mean == pytest.approx(wanted)
        assert 0 < number.p <= 1
    name = metric(found, "visit_forgetting")
    number = study.difference("fast", "wpl@1", "finetune", name, other_scenario="slow")
    ours, theirs = (
        study.value(place, variant, name).mean
        for place, variant in (("fast", "wpl@1"), ("slow", "finetune"))
    )
    assert number.mean == pytest.approx(ours - theirs)


def test_an_architecture_without_a_finite_error_is_told_not_drawn(record):
    found = searches(record, 2, perplexity=True)
    changed = []
    for record in found:
        if (record.scenario, record.strategy) == ("fast", "finetune"):
            search = record.probes["search"]
            ranking = [
                {**row, "validation": None} if row["architecture"] == "0-0" else row
                for row in search["ranking"]
            ]
            record = replace(record, probes={"search": search | {"ranking": ranking}})
        changed.append(record)
    study = made(changed)
    study.rankings("a", scenario="fast", variants=["finetune"], truth=study.truth("alone"))
    figure, plot = drawn(study)
    assert len(figure.axes[0].lines[0].get_xydata()) == len(NAMES) - 1
    assert "1 point without a finite error" in plot.caption


def test_gains_and_forgetting_are_the_metrics(study, found):
    names = {"slow": "half", "rate": "learning rate"}
    three, series = ["finetune", "wpl", "l2"], {"rate": CONTROL}
    study.gains("a", scenario="fast", strategies=three, series=series, labels=names)
    figure, plot = drawn(study)
    wanted = []
    places = [
        ("fast", "finetune"),
        *(("fast", f"wpl@{s}") for s in (0.1, 1, 10)),
        ("fast", "l2@0.1"),
        ("fast", "l2@1"),
    ]
    for scenario, variant in [*places, *CONTROL]:
        gain, loss = (
            study.value(scenario, variant, metric(found, name)).mean
            for name in ("visit_gain", "visit_forgetting")
        )
        wanted.append((gain, loss))
    assert marks(figure.axes[0]) == pytest.approx(ordered(wanted))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"0.1", "1", "10", "half"} <= set(texts)
    assert len(plot.data) == len(wanted)


def reverse(search):
    """The same, with losses that are gains."""
    rows = [{**row, "end": row["after"], "after": row["end"]} for row in search["rows"]]
    return search | {"rows": rows}


def test_a_ratio_is_one_of_means_with_fieller_s_interval(study, found):
    ours, theirs = (
        np.array([r.metrics[metric(found, "visit_forgetting")] for r in runs_of(found, *variant)])
        for variant in (("fast", "wpl", 1.0), ("slow", "finetune", None))
    )
    wanted = ratio_of_means(ours, theirs)
    name = metric(found, "visit_forgetting")
    number = study.ratio("fast", "wpl@1", "finetune", name, other_scenario="slow")
    assert (number.mean, number.low, number.high) == (wanted.value, wanted.low, wanted.high)
    backwards = [replace(r, probes={"search": reverse(r.probes["search"])}) for r in found]
    nothing = made(backwards).ratio("fast", "wpl@1", "finetune", name)
    title = name.replace("_", " ")
    assert str(nothing) == f"{title} of finetune is not clearly above zero"
    with pytest.raises(UserError, match="ratio of means already"):
        study.ratio("fast", "wpl@1", "finetune", "removed")


def test_forgetting_at_equal_gain_is_read_off_seed_by_seed(study, found):
    result = study.at_equal_gain("fast", "wpl@10", CONTROL)
    control = []
    ours = runs_of(found, "fast", "wpl", 10.0)
    gain, loss = (metric(found, name) for name in ("visit_gain", "visit_forgetting"))
    for place, own in enumerate(ours):
        points = [runs_of(found, scenario, "finetune")[place] for scenario in reversed(CONTROLS)]
        xs, ys = ([p.metrics[name] for p in points] for name in (gain, loss))
        assert xs == sorted(xs)
        control.append(np.interp(own.metrics[gain], xs, ys))
    wanted = ratio_of_means(np.array([own.metrics[loss] for own in ours]), np.array(control))
    assert result.ratio.mean == pytest.approx(wanted.value)
    assert (result.ratio.low, result.ratio.high) == pytest.approx((wanted.low, wanted.high))
    assert result.control.mean == pytest.approx(unit(found) * fmean(control))
    late = study.at_equal_gain("fast", "wpl@10", CONTROL, "late")
    assert late.own.mean > result.own.mean


def test_a_gain_that_the_control_does_not_have_is_told(study):
    outside = study.at_equal_gain("fast", "wpl@0.1", CONTROL[1:])
    assert str(outside.ratio) == "outside the control’s range" == str(outside.control)
    assert outside.gain.mean is not None
    with pytest.raises(UserError, match="two or more"):
        study.at_equal_gain("fast", "wpl@1", ["finetune"])
    with pytest.raises(UserError, match="no period 'lat'"):
        study.at_equal_gain("fast", "wpl@1", CONTROL, "lat")
    with pytest.raises(UserError, match="no finished run has measured visits"):
        study.at_equal_gain("fast", "wpl@1", [["alone", "finetune"], "finetune"])


def test_a_page_with_all_of_it_has_the_same_bytes_in_any_order(render, found):
    text, album = render(PAGE, found)
    again, other = render(PAGE, found[::-1])
    assert (text, album.files()) == (again, other.files())
    for content in album.files().values():
        assert ElementTree.fromstring(content).get("aria-label")
    assert "**Figure 4.**" in text and "{{" not in text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('s.forgetting("a", variants=["finetune"])', "measured visits"),
        ('s.forgetting("a", scenarios=["fast"])', "give the variants"),
        ('s.forgetting("a", scenarios=["fast"], variants=["finetune"], block=0)', "block is 0"),
        ('s.forgetting("a", scenarios=["fast"], variants=[["slow"]])', "a scenario and a variant"),
        ('s.rewards("a", scenario="alone", variants=["finetune"])', "controller"),
        ('s.rankings("a", scenario="fast", variants=["finetune"])', "no truth"),
        ('s.gains("a", scenario="fast")', "nothing to show"),
    ],
)  # fmt: skip
def test_what_a_figure_cannot_show_is_told(render, found, call, message):
    with pytest.raises(UserError, match=f"line 2: .*{message}"):
        render("{% set s = suite('nas') %}\n{{ " + call + " }}", found)


def test_rates_and_perplexities_are_not_mixed(record):
    one, other = searches(record, 1), searches(record, 1, perplexity=True)
    mixed = [r for r in one if r.scenario == "fast"] + [r for r in other if r.scenario == "slow"]
    with pytest.raises(UserError, match="error rates and perplexities"):
        made(mixed).at_equal_gain("fast", "finetune", [["slow", "finetune"], "finetune"])
