"""What strategies say later models can still change, beside what random steps do change."""

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from programs import FEATURES, THREE, double, make_bank, make_data, train
from torch import nn

from palimpsest.strategies import (
    FGGM,
    GPM,
    MIGU,
    OGL,
    SPG,
    ExSSNet,
    Freeze,
    FreezeImportant,
    InfLoRA,
    SSNet,
    SupSup,
)
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.base.hooks import Capacity
from palimpsest.strategies.masks.weight_masks import masked_layers

DIRECTIONS = 20  # epochs of four steps: more than any tensor here has directions


class Kick(torch.optim.SGD):
    """Adds noise to all that has a gradient, whatever the gradient says."""

    def __init__(self, parameters):
        super().__init__(parameters, lr=1.0)
        self.generator = torch.Generator().manual_seed(7)
        self.last = {}

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    noise = torch.randn(p.shape, generator=self.generator, dtype=torch.float64)
                    self.last[p] = 0.1 * noise.to(p)
                    p.add_(self.last[p])


class Moves(SupervisedPlugin):
    """Notes how far each step of the last model moves everything, and how far it would have."""

    def __init__(self):
        super().__init__()
        self.steps = {}
        self.on = False

    def before_update(self, strategy, *_, **__):
        named = strategy.model.named_parameters()
        self.before = {name: p.detach().clone() for name, p in named}

    def after_update(self, strategy, *_, **__):
        for name, p in strategy.model.named_parameters():
            if self.on:
                kick = strategy.optimizer.last.get(p, torch.zeros_like(p))
                moved = (p.detach() - self.before[name], kick.clone())
                self.steps.setdefault(name, []).append(moved)


def elements(steps, _):
    """The share of the elements that ever moved."""
    return torch.stack([moved != 0 for moved, _ in steps]).any(dim=0).double().mean().item()


def sizes(steps, _):
    """The mean share of the steps."""
    shares = torch.stack([(moved / kick).double() for moved, kick in steps])
    return shares.mean().item()


def directions(steps, _):
    """The share of the directions of a whole tensor that steps went in."""
    every = torch.stack([moved.flatten() for moved, _ in steps]).double()
    return torch.linalg.matrix_rank(every, rtol=1e-3).item() / every.shape[1]


def rows(steps, bias):
    """The share of the directions that rows of weight and bias went in."""
    parts = [moved.flatten(1) for moved, _ in steps]
    if bias is not None:
        biases = [moved[:, None] for moved, _ in bias]
        parts = [torch.cat(pair, dim=1) for pair in zip(parts, biases, strict=True)]
    every = torch.cat(parts).double()
    return torch.linalg.matrix_rank(every, rtol=1e-3).item() / every.shape[1]


KINDS = {
    "freeze": (Freeze, elements),
    "freeze_important": (lambda: FreezeImportant(share=0.4), elements),
    "fggm": (lambda: FGGM(share=0.4), elements),
    "fggm, all held": (lambda: FGGM(share=0.95), elements),
    "migu": (lambda: MIGU(share=0.4), elements),
    "supsup": (lambda: SupSup(density=0.3), elements),
    "ssnet": (lambda: SSNet(mask_steps=4, density=0.3), elements),
    "exssnet": (lambda: ExSSNet(mask_steps=4, density=0.3), elements),
    "spg": (lambda: SPG(strength=0.5, private="free"), sizes),
    "gpm": (lambda: GPM(energy=0.8), rows),
    "ogl": (lambda: OGL(rank=5), directions),
}


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, FEATURES // 2)),
        nn.Conv2d(1, 4, 2),
        nn.GroupNorm(2, 4),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def any_model_may_come(plugin, model):
    """Let the last model use all that it may, and choose rows in each step as if by chance."""
    for layer in masked_layers(model).values():
        layer.density = 1.0
    if isinstance(plugin, FGGM | MIGU):
        own, generator = plugin.scores, torch.Generator().manual_seed(0)
        plugin.scores = lambda shared: {
            name: torch.rand(len(rows), generator=generator) for name, rows in own(shared).items()
        }
        plugin.holds_anew = True


def on_a_bank():
    return make_bank(THREE)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        *(pytest.param(on_a_bank, own, id=f"bank, {name}") for name, own in KINDS.items()),
        *(pytest.param(convolutional, own, id=f"cnn, {name}") for name, own in KINDS.items()),
    ],
)
def test_what_is_said_to_be_free_is_what_random_steps_can_change(make, kind):
    (new, measure), moves, told = kind, Moves(), []
    plugin = new()

    def note(i, model):
        told.append(plugin.free(model))
        if i == 1:
            moves.on = True
            any_model_may_come(plugin, model)

    bank = make()
    found = train(
        bank,
        [plugin, moves],
        parts=make_data(3),
        program="in_memory",
        optimizer=Kick,
        epochs=DIRECTIONS if measure is directions else 4,
        after_each=note,
    )
    used = set(found.parameters_of(2)) if hasattr(found, "parameters_of") else set(moves.steps)
    names = {name for name in used if ".scores." not in name}
    assert len(names) >= 6
    after_two = told[1]
    assert all(0 <= share <= 1 for share in after_two.values())
    for name in names:
        free = after_two.get(name, 1.0)
        layer = name.rpartition(".")[0]
        projected = measure is rows and layer in plugin.bases and free > 0
        if measure is rows and not projected:
            assert elements(moves.steps[name], None) == free  # held, or used for the first time
            continue
        steps, bias = moves.steps[name], None
        if projected:
            steps, bias = moves.steps[f"{layer}.weight"], moves.steps[f"{layer}.bias"]
        assert measure(steps, bias) == pytest.approx(free, abs=1e-5), name


def test_among_all_tensors_the_share_is_that_of_all_together():
    plugin, moves, told = FreezeImportant(share=0.4, among="all"), Moves(), []

    def note(i, model):
        told.append(plugin.free(model))
        moves.on = i == 1

    parts = make_data(3)
    train(convolutional(), [plugin, moves], parts=parts, optimizer=Kick, after_each=note)
    ever = {n: torch.stack([m != 0 for m, _ in own]).any(dim=0) for n, own in moves.steps.items()}
    share = torch.cat([own.flatten() for own in ever.values()]).double().mean().item()
    assert 0 < share < 1
    assert told[1] == dict.fromkeys(ever, pytest.approx(share))


def test_branches_change_weights_in_the_directions_that_are_free():
    plugin, told, weights = InfLoRA(energy=0.8, rank=8), [], []

    def note(_, model):
        told.append(plugin.free(model))
        weights.append({n: p.detach().clone() for n, p in model.named_parameters()})

    bank = make_bank(THREE).double()
    parts = double(make_data(3))
    train(bank, [plugin], parts=parts, optimizer=Kick, after_each=note)
    shared = [name for name, share in told[1].items() if name.split(".")[1] in "xy"]
    assert len(shared) == 4
    for name in shared:
        before, after = weights[1][name], weights[2][name]
        if name.endswith("bias"):
            assert told[1][name] == 0
            assert torch.equal(before, after)
        else:
            rank = torch.linalg.matrix_rank(after - before).item()
            assert told[1][name] == pytest.approx(rank / before.shape[1])
            assert 0 < rank < before.shape[1]


def test_penalties_tell_no_capacity():
    with_it = {name for name, own in STRATEGIES.items() if issubclass(own, Capacity)}
    assert {"spg", "gpm", "freeze_important", "fggm", "migu", "freeze", "ogl"} <= with_it
    assert {"supsup", "ssnet", "exssnet", "inflora"} <= with_it
    assert not {"ewc", "wpl", "l2", "si", "mas", "replay", "joint", "independent"} & with_it
