"""What a search refuses, in a sentence, and what its bank and its plan say."""

from pathlib import Path

import numpy as np
import pytest
from one_run import execute

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import search as measures
from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.search.scenario import ArchitectureSearch
from palimpsest.benchmark.search.supernet_bank import SupernetBank
from palimpsest.benchmark.suites.loading import load_suite

ROOT = Path("/nowhere")


@pytest.mark.parametrize(
    ("changes", "without", "said"),
    [
        ({"sampler": "fair"}, [], "batches is 3, but fair has visits of one"),
        ({"sampler": "lottery"}, [], "unknown name 'lottery'"),
        ({"validation": 0}, [], "validation"),
        ({"measured": 5}, [], "measured is 5, but an epoch has 4 visits"),
        ({"steps": 3}, ["epochs"], "steps is the training of an architecture alone"),
        ({"shared": False}, ["visits", "batches"], "give steps, not epochs"),
        ({"shared": False, "steps": 3}, ["epochs"], "visits has no meaning with shared: false"),
        ({"architectures": [[0, 0]]}, [], "architectures are for shared: false"),
        ({"width": 7}, [], "width has no meaning in a search"),
        ({"words": 7}, [], "words is for text, and the data are images"),
        ({"decay_after": 2}, [], "decay_after has no effect without a learning_rate_decay"),
        ({"network": "cnn"}, [], "network has no meaning in a search"),
        ({"online": True}, ["epochs"], "online has no meaning in a search"),
        ({"learning_rate_schedule": {"name": "cosine"}}, [], "schedule has no meaning in a search"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make_runs, changes, without, said):
    with pytest.raises(UserError, match=said):
        make_runs(without=without, **changes)


@pytest.mark.parametrize(
    "strategy", ["joint", "independent", "lwf", "replay", "der", "avalanche:Naive"]
)
def test_strategies_that_come_back_to_a_label_are_refused(make_runs, strategy):
    with pytest.raises(UserError, match=r"does not work in an architecture search"):
        make_runs(strategies={"other": {"strategy": strategy}})


def test_a_posterior_with_a_memory_comes_back_to_labels_and_one_without_does_not(make_runs):
    make_runs(strategies={"other": {"strategy": "td_vcl"}})
    with pytest.raises(UserError, match=r"does not work in an architecture search"):
        make_runs(strategies={"other": {"strategy": "td_vcl", "memory": 20}})


ALONE = {"shared": False, "steps": 3}
NAMES = ["epochs", "visits", "batches"]


def test_what_has_no_meaning_is_no_setting_of_a_search(make_runs):
    schedule = {"learning_rate_schedule": {"name": "cosine"}}
    shared, alone, falling = (
        run.spec.scenario.settings
        for (run,) in (
            make_runs(),
            make_runs(without=NAMES, **ALONE),
            make_runs(without=NAMES, **ALONE, **schedule),
        )
    )
    both = {*shared} & {*alone}
    assert {"supernet", "batch_size", "epochs", "steps", "shared", "optimizer"} <= both
    unused = {"network", "width", "activation", "curve", "warmup", "length", "words"}
    assert not unused & {*shared, *alone}
    assert falling["learning_rate_schedule"]["name"] == "cosine"
    assert "learning_rate_schedule" not in shared
    assert {"sampler", "visits", "warm_start"} <= {*shared} - both


@pytest.mark.parametrize(
    ("changes", "without", "said"),
    [
        (
            {"sampler": "fair", "supernet": {"options": [2, 3]}},
            ["batches"],
            "as many options of each; this space has 2, 3",
        ),
        ({"supernet": {"options": [99, 99, 99]}}, [], "the space has 970,299 architectures"),
        (ALONE | {"supernet": {"options": [99, 99, 99]}}, NAMES, "would train 970,299"),
        (ALONE | {"architectures": [[0, 3]]}, NAMES, "decision 1 is 3"),
        (ALONE | {"architectures": [[0, 1], [0, 1]]}, NAMES, "given twice"),
    ],
)
def test_what_does_not_fit_the_space_is_refused(make_runs, changes, without, said):
    with pytest.raises(UserError, match=said):
        make_runs(without=without, **changes)


@pytest.mark.parametrize("strategy", ["joint", "avalanche:Naive"])
def test_strategies_with_a_training_of_their_own_are_refused(make_runs, strategy):
    with pytest.raises(UserError, match="has a training of its own"):
        make_runs({strategy: {}}, without=NAMES, **ALONE)


@pytest.mark.parametrize("strategy", ["independent", "lwf", "replay", "der"])
def test_alone_strategies_may_come_back_to_a_label(make_runs, strategy):
    (run,) = make_runs({strategy: {}}, without=NAMES, architectures=[[0, 1], [2, 1]], **ALONE)
    record = execute(run, ROOT)
    assert record.status == "done", record.error


IMAGES = {"family": "architecture_search", "data": "digits"}
LAYER = IMAGES | {"supernet": {"name": "micro_cell", "normalisation": "layer"}}
WORDS = {
    "family": "architecture_search",
    "data": "text:ptb",
    "supernet": {"name": "recurrent_cell"},
}


def load(scenario, strategy):
    return load_suite({"suite": "x", "scenarios": {"it": scenario}, "strategies": {"s": strategy}})


@pytest.mark.parametrize(
    ("scenario", "strategy", "said"),
    [
        (LAYER, {"strategy": "wpl", "decay_every": 2}, "decay_every has no effect without"),
        (LAYER, {"strategy": "nsas", "along": "opposites", "archive": 3}, "archive is for along:"),
        (IMAGES, {"strategy": "wpl"}, "fisher: exact needs the gradients of single samples"),
        (IMAGES, {"strategy": "mas"}, "mas needs the gradients of single samples"),
        (IMAGES, {"strategy": "rwalk"}, "rwalk needs the gradients of single samples"),
        (
            IMAGES | {"shared": False, "steps": 3, "epochs": None},
            {"strategy": "ewc", "fisher": "empirical"},
            "fisher: empirical needs the gradients of single samples",
        ),
        (WORDS, {"strategy": "wpl", "fisher": "batched"}, "fisher: batched needs logits of shape"),
        (WORDS, {"strategy": "rwalk"}, "rwalk needs logits of shape"),
        (WORDS, {"strategy": "wpl_schur"}, "wpl_schur needs logits of shape"),
        (WORDS, {"strategy": "mas"}, "mas needs logits of shape"),
    ],
)
def test_estimates_that_a_supernet_has_nothing_for_are_refused(scenario, strategy, said):
    with pytest.raises(UserError, match=said):
        load(scenario, strategy)


@pytest.mark.parametrize(
    ("scenario", "strategy"),
    [
        (IMAGES, {"strategy": "wpl", "fisher": "training"}),
        (IMAGES, {"strategy": "ewc", "fisher": "batched"}),
        (IMAGES, {"strategy": "fggm", "rows": "random"}),
        (LAYER, {"strategy": "rwalk"}),
        (LAYER, {"strategy": "wpl"}),
        (LAYER, {"strategy": "mas"}),
        (WORDS, {"strategy": "wpl", "fisher": "training"}),
        (WORDS, {"strategy": "nsas", "along": "opposites"}),
    ],
)
def test_others_are_not(scenario, strategy):
    load(scenario, strategy)


def test_a_large_space_needs_no_more_slots_than_visits(make_runs):
    (run,) = make_runs(supernet={"options": [10] * 12}, ranked=3, measured=2)
    ready = prepare(run, ROOT)
    assert ready.scenario.model.space.size == 10**12
    assert len(ready.scenario.train) == 3
    x = [experience.dataset.samples[0] for experience in ready.scenario.train]
    assert all(each is x[0] for each in x)


def test_slots_stand_for_architectures(make_runs):
    (run,) = make_runs()
    bank = prepare(run, ROOT).scenario.model
    assert isinstance(bank, SupernetBank)
    bank.architectures[:2] = [(0, 1), (2, 1)]
    used = {name.split(".", 2)[2] for name in bank.parameters_of(1)}
    always = {f"{layer}.{kind}" for layer in ("first", "head") for kind in ("weight", "bias")}
    chosen = {f"choices.{layer}.{kind}" for layer in ("0_2", "1_1") for kind in ("weight", "bias")}
    assert used == always | chosen
    shared = {name.split(".", 2)[2] for name in bank.shared_parameters_of(1)}
    assert shared == always | {"choices.1_1.weight", "choices.1_1.bias"}
    assert bank.architecture_of(1) == (2, 1)
    assert bank.distance((0, 1), (2, 1)) == 0.5
    assert bank.sample_architecture(np.random.default_rng(0)) in set(bank.space.all())
    bank.architectures[1] = (0, 0)
    assert "blocks.supernet_0.choices.0_2.weight" not in bank.parameters_of(1)


def test_probes_of_blocks_have_nothing_to_look_at(make_runs):
    (run,) = make_runs({"l2": {"strengths": [1]}}, probes=["distance"])
    record = execute(run, ROOT)
    assert "absent" in record.probes["distance"]
    assert record.probes["search"]["rows"]


def test_its_own_settings_are_part_of_what_is_stored():
    settings = ArchitectureSearch(sampler="single_path", epochs=3)
    stored = settings.model_dump(mode="json")
    assert stored["batches"] == 1
    assert ArchitectureSearch.model_validate(stored) == settings


# Measures


def rows(*epochs):
    """Rows of epochs, each a list of errors before, after and at the end."""
    names = ("before", "after", "end")
    return [
        {"epoch": number, "visit": visit, "architecture": "0"} | dict(zip(names, e, strict=True))
        for number, epoch in enumerate(epochs)
        for visit, e in enumerate(epoch)
    ]


FIRST = [(0.9, 0.5, 0.8), (0.8, 0.6, 0.7)]
SECOND = [(0.7, 0.4, 0.4), (0.6, 0.5, 0.7)]
THIRD = [(0.5, 0.3, 0.2), (0.5, 0.4, 0.4)]


def test_measures_are_means_of_epochs():
    found = rows(FIRST, SECOND, THIRD)
    forgotten = [(0.3 + 0.1) / 2, (0 + 0.2) / 2, (-0.1 + 0) / 2]
    assert measures.visit_forgetting(found) == pytest.approx(sum(forgotten) / 3)
    assert measures.early_visit_forgetting(found) == pytest.approx(forgotten[0])
    assert measures.late_visit_forgetting(found) == pytest.approx(forgotten[2])
    assert measures.largest_visit_forgetting(found) == pytest.approx((0.3 + 0.2 + 0) / 3)
    assert measures.visit_gain(found) == pytest.approx((0.6 + 0.4 + 0.3) / 6)
    assert measures.visited_error(found, "late") == pytest.approx(0.3)
    assert measures.visit_forgetting([]) is None
    assert measures.early_visit_forgetting(rows(FIRST)) is None


def test_the_best_five_are_those_with_the_lowest_error_after_their_visit():
    epoch = [(0.9, 0.1 * i, 0.1 * i + 0.01 * i) for i in range(1, 8)]
    assert measures.best_visit_forgetting(rows(epoch[::-1])) == pytest.approx(0.03)
    assert measures.best_visit_forgetting(rows(epoch[:2])) == pytest.approx(0.015)


def test_epochs_count_alike_however_many_visits_are_measured():
    assert measures.visit_gain(rows(FIRST, SECOND[:1])) == pytest.approx((0.3 + 0.3) / 2)


def test_an_error_that_is_not_finite_leaves_nothing_to_say():
    assert measures.visit_forgetting(rows([(0.9, 0.5, None)])) is None


def test_a_run_has_them_in_one_unit_only(make_runs):
    (run,) = make_runs()
    record = execute(run, ROOT)
    found = record.probes["search"]["rows"]
    assert record.metrics["visit_forgetting"] == measures.visit_forgetting(found)
    assert record.metrics["visit_forgetting_perplexity"] is None
