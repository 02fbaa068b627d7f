"""Strategies that hold rows: which ones they choose, and that held rows never move."""

import copy

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    DOUBLE,
    FEATURES,
    MODELS,
    OPTIMIZERS,
    THREE,
    Tape,
    assert_close,
    double,
    make_bank,
    make_data,
    replay,
    same,
    slow_fisher,
    snapshot,
    train,
)
from torch import nn

from palimpsest.strategies import FGGM, MIGU, FreezeImportant
from palimpsest.strategies.masks.output_rows import held_rows, output_axes, row_sums

KINDS = {"freeze_important": FreezeImportant, "fggm": FGGM, "migu": MIGU}
every = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


class SlowRows:
    """Fisher information by single samples, rows by their definition."""

    def __init__(self, kind, parts, share, together=False):
        self.kind, self.parts, self.share, self.together = kind, parts, share, together
        self.sums, self.earlier, self.chosen = {}, set(), None

    def after_model(self, i, model, used):
        self.earlier |= used.keys()
        own = slow_fisher(model, [*used], *self.parts[i], label=i)
        for name, values in own.items():
            self.sums[name] = self.sums.get(name, 0) + values
        self.chosen = None

    def on_gradients(self, model, i, used):
        """Choose before the first step of a model."""
        names = [name for name in used if name in self.earlier]
        if self.chosen is not None or not names:
            return
        values = self.sums
        if self.kind is FGGM:
            values = slow_fisher(model, names, *self.parts[i], label=i)
        rows = [(values[n][r].sum().item(), n, r) for n in names for r in range(len(values[n]))]
        groups = [rows] if self.together else [[r for r in rows if r[1] == n] for n in names]
        self.chosen = []
        for group in groups:
            ordered = sorted(group, reverse=self.kind is FreezeImportant)
            self.chosen += ordered[: round(self.share * len(group))]

    def after_step(self, _, used, before, __):
        for _score, name, row in self.chosen or []:
            used[name][row] = before[name][row]


@pytest.mark.parametrize("together", [False, True], ids=["layer", "all"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", [FreezeImportant, FGGM])
def test_rows_are_those_of_a_plain_loop(kind, optimizer, together):
    bank, parts = make_bank(THREE, **DOUBLE), double(make_data(3))
    plugin = kind(share=0.4, among="all" if together else "layer")
    tape, slow = Tape(), SlowRows(kind, parts, 0.4, together)
    found = train(bank, [plugin, tape], parts=parts, optimizer=optimizer)
    model = copy.deepcopy(bank)
    live = {}

    def choose(i, used):
        live.update(used)
        state = model.state_dict()
        model.load_state_dict({n: live[n].detach() if n in live else state[n] for n in state})
        slow.on_gradients(model, i, used)

    wanted = replay(
        bank,
        tape.batches,
        optimizer=optimizer,
        on_gradients=choose,
        after_step=slow.after_step,
        after_model=slow.after_model,
    )
    assert_close(found, wanted)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@every
def test_held_rows_are_bit_constant_and_the_others_move(kind, optimizer, name):
    states, held = [], []

    class Watch(kind):
        def holds(self, used):
            found = super().holds(used)
            held.append({n: h.expand_as(used[n]).bool().clone() for n, h in found.items()})
            return found

    plugin = Watch(share=0.5)
    train(
        MODELS[name](),
        [plugin],
        optimizer=optimizer,
        reset=False,
        after_each=lambda _, m: states.append(snapshot(m)),
    )
    before, after = states
    second = [own for own in held if own]
    always = {n: torch.stack([own[n] for own in second]).all(dim=0) for n in second[0]}
    assert any(own.any() for own in always.values())
    for parameter, own in always.items():
        assert torch.equal(before[parameter][own], after[parameter][own])
        if kind is not MIGU:
            assert (before[parameter][~own] != after[parameter][~own]).double().mean() > 0.9
            rows = own.flatten(1).all(dim=1) if own.ndim > 1 else own
            assert int(rows.sum()) == round(0.5 * len(rows))


@every
def test_scaled_gradients_are_scaled_steps_behind_sgd(kind):
    bank, parts = make_bank(THREE), make_data(3)
    found = [train(bank, [kind(scales=what)], parts=parts) for what in ("update", "gradient")]
    assert_close(*found)
    assert not same(found[1], train(bank, parts=parts))


def test_random_rows_are_as_many_and_others_for_each_model():
    def held(seed):
        plugin, states = FGGM(rows="random", share=0.5, seed=seed), []
        note = {"after_each": lambda _, m: states.append(snapshot(m))}
        train(make_bank(THREE), [plugin], parts=make_data(3), **note)
        first, *later = [state["blocks.y.0.weight"] for state in states]
        pairs = zip([first, *later], later, strict=False)
        return [(before == after).all(dim=1).tolist() for before, after in pairs]

    found = held(0)
    assert [sum(rows) for rows in found] == [4, 4]
    assert found[0] != found[1]
    assert found == held(0) != held(1)


def test_migu_holds_the_rows_with_the_smallest_outputs_of_each_batch():
    bank, parts = make_bank(**DOUBLE), double(make_data(2))
    plugin, tape = MIGU(share=0.5), Tape()
    found = train(bank, [plugin, tape], parts=parts)
    inputs = {"batch": 0}

    def after_step(i, used, before, _):
        if i == 0:
            return
        x, _y = tape.batches[1][inputs["batch"]]
        inputs["batch"] += 1
        h = x @ before["blocks.shared.0.weight"].T + before["blocks.shared.0.bias"]
        rows = h.abs().sum(dim=0).argsort()[:4]
        weight = used["blocks.shared.0.weight"]
        weight[rows] = before["blocks.shared.0.weight"][rows]

    assert_close(found, replay(bank, tape.batches, after_step=after_step))


def test_migu_adds_the_outputs_of_all_uses_of_a_layer():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(FEATURES, FEATURES)

        def forward(self, x):
            return self.layer(10 * self.layer(x))[:, :CLASSES]

    scores, wanted = [], []

    class Watch(MIGU):
        def scores(self, shared):
            found = super().scores(shared)
            scores.append(found["layer.weight"])
            return found

    class Uses(SupervisedPlugin):
        def before_forward(self, strategy, *_, **__):
            layer = strategy.model.layer
            once = layer(strategy.mb_x)
            wanted.append(sum(h.abs().sum(dim=0) for h in (once, layer(10 * once))))

    train(Twice(), [Uses(), Watch(share=0.5)])
    assert len(scores) == 8
    for found, own in zip(scores, wanted[-8:], strict=True):
        torch.testing.assert_close(found, own.detach())


def test_rows_lead_to_one_output_of_a_layer():
    model = nn.Sequential(
        nn.Embedding(5, 3), nn.Linear(3, 2), nn.Conv2d(2, 4, 3), nn.ConvTranspose2d(4, 6, 3)
    )
    axes = output_axes(model)
    own = dict(model.named_parameters())
    assert {name: own[name].shape[axis] for name, axis in axes.items()} == {
        "0.weight": 3,
        "1.weight": 2,
        "1.bias": 2,
        "2.weight": 4,
        "2.bias": 4,
        "3.weight": 6,
        "3.bias": 6,
    }
    weight = own["3.weight"].detach().double()
    assert row_sums(weight, 1).tolist() == pytest.approx(weight.sum(dim=(0, 2, 3)).tolist())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.33, 0.5, 0.9, 1.0])
def test_the_share_is_kept_to_one_row_even_where_scores_are_equal(share):
    scores = {"a": torch.zeros(10), "b": torch.arange(7.0)}
    for highest in (True, False):
        held = held_rows(scores, share, highest=highest, together=False)
        assert [int(rows.sum()) for rows in held.values()] == [round(share * 10), round(share * 7)]
        held = held_rows(scores, share, highest=highest, together=True)
        assert sum(int(rows.sum()) for rows in held.values()) == round(share * 17)


@pytest.mark.parametrize("setting", [{"fisher": "empirical"}, {"samples": 5}, {"batch": 5}])
def test_what_random_rows_have_no_use_for_is_refused(setting):
    with pytest.raises(ValueError, match="has no effect with rows: random: remove it"):
        FGGM(rows="random", **setting)
