"""Caveats about methods that have what others do not; the method is the user's own."""

from dataclasses import replace

import pytest
from known_facts import facts_of

from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.runs.cells import group

MATRIX = [[0.9, 0.1], [0.5, 0.8]]
ALONE = {"role": "alone", "told": True, "keeps_statistics": True}


@pytest.fixture
def said(record):
    """The caveats in which methods of these names and facts are named."""

    def find(*, incremental=None, layers=None, **methods):
        about = {"scenario_settings": {"incremental": incremental}} if incremental else {}
        cost = {"shared_statistics": layers} if layers else {}
        made = [
            replace(
                record(MATRIX, strategy=name, facts=facts_of(name, **facts), seed=seed, **about),
                cost=cost,
            )
            for name, facts in methods.items()
            for seed in range(5)
        ]
        texts = [text for text in caveats(group(made), [], []) if "bit-identical" not in text]
        return [text for text in texts if any(name in text for name in methods)]

    return find


def test_what_stores_data_is_named(said):
    (text,) = said(hoarder={"stores": True}, plain={})
    assert text == (
        "same: hoarder stores samples of earlier models and trains on them again, which the others "
        "do not: a reference for what such data are worth, not a better penalty."
    )
    (text,) = said(one={"stores": True}, other={"stores": True})
    assert text.startswith("same: one, other store samples of earlier models and train on them")
    assert not said(plain={})


@pytest.mark.parametrize("incremental", ["class", "domain", "task"])
@pytest.mark.parametrize("facts", [{"told": True}, ALONE])
def test_what_is_told_the_model_is_named_where_it_is_to_be_found_out(said, facts, incremental):
    texts = said(mine=facts, other={}, incremental=incremental)
    expected = [] if incremental == "task" else ["same: mine is told which experience a sample is"]
    assert [text[: len("same: mine is told which experience a sample is")] for text in texts] == (
        expected
    )


@pytest.mark.parametrize(("layers", "incremental", "count"), [
    (5, "domain", 1), (5, "task", 0), (None, "domain", 0),
])  # fmt: skip
def test_what_merges_weights_has_statistics_of_each_model(said, layers, incremental, count):
    facts = {"merges": True, "keeps_statistics": True}
    texts = said(mine=facts, incremental=incremental, layers=layers)
    assert [text.startswith("same: mine is told which") for text in texts] == [True] * count


def test_shared_statistics_are_those_of_methods_that_do_not_keep_them(said):
    (text,) = said(mine={}, other={"keeps_statistics": True}, layers=3)
    assert "3 normalisation layers with running statistics that models share" in text
    assert "no penalty of mine sees it" in text


def test_a_baseline_of_the_users_own_is_what_metrics_compare_with(record):
    """It counts as fine-tuning in metrics and in what is missing."""
    sgd = facts_of("sgd", role="baseline")
    runs = [record(MATRIX, strategy="sgd", facts=sgd, seed=seed) for seed in range(5)]
    texts = caveats(group(runs), [], [])
    assert not any("forgetting reduction, which needs" in text for text in texts)
    (text,) = [text for text in texts if "no plasticity" in text]
    assert text == (
        "same: no plasticity, which needs a reference: add a strategy that shares nothing to the "
        "suite, see 'palimpsest list strategies'."
    )


@pytest.mark.parametrize(
    ("kind", "fact", "settings", "expected"),
    [
        *[(kind, "stores", {}, True) for kind in ("replay", "der")],
        *[(f"avalanche:{kind}", "stores", {}, True) for kind in ("Replay", "GEM")],
        *[(f"avalanche:{kind}", "stores", {}, False) for kind in ("EWC", "LwF")],
        *[(kind, "stores", {}, False) for kind in ("finetune", "wpl", "lwf", "joint")],
        *[(kind, "stores", {"memory": 0}, False) for kind in ("n_step_kl", "td_vcl")],
        *[(kind, "stores", {"memory": 200}, True) for kind in ("n_step_kl", "td_vcl")],
        *[(kind, "told", {}, True) for kind in ("supsup", "ssnet", "exssnet", "independent")],
        *[("supsup", "told", {"infer": infer}, False) for infer in ("one_shot", "binary")],
        *[("exssnet", "told", {"infer": infer}, True) for infer in ("none", "given")],
        ("smile", "told", {"experts": "routed"}, False),
        ("smile", "told", {"experts": "given"}, True),
    ],
)
def test_what_shipped_strategies_say_of_themselves(kind, fact, settings, expected):
    assert getattr(facts_of(kind, settings), fact) is expected
