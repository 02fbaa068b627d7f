"""GPM: what is exact about it, and a plain loop."""

from itertools import pairwise

import pytest
import torch
from programs import (
    DOUBLE,
    FEATURES,
    OPTIMIZERS,
    THREE,
    Tape,
    assert_close,
    distance,
    double,
    make_bank,
    make_data,
    make_ordinary,
    replay,
    train,
)
from torch import nn

from palimpsest.strategies import GPM, Freeze
from palimpsest.strategies.base.layer_inputs import matrices, watched


def narrow(models=2, directions=2):
    """Data in a few directions of the input, other ones for each model."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for x, y in make_data(models):
        some = torch.randn(directions, FEATURES, generator=generator, dtype=torch.float64)
        found.append((x[:, :directions].double() @ some, y))
    return found


class SlowGPM:
    """Bases by a singular value decomposition of single inputs, for one hidden layer and a head."""

    def __init__(self, parts, energy):
        self.parts, self.energy = parts, energy
        self.bases = {}

    def inputs(self, i, model):
        path = model.paths[i]
        x = self.parts[i][0]
        for name in path:
            block = model.blocks[name]
            layer = f"blocks.{name}.0" if isinstance(block, nn.Sequential) else f"blocks.{name}"
            yield layer, torch.stack([torch.cat([row, row.new_ones(1)]) for row in x]).T
            x = block(x).detach()

    def after_model(self, i, model, _):
        for layer, r in self.inputs(i, model):
            m = self.bases.get(layer, r.new_zeros(len(r), 0))
            rest = r - m @ m.T @ r
            u, s, _ = torch.linalg.svd(rest, full_matrices=False)
            total = (r**2).sum()
            known = (((m @ m.T) @ r) ** 2).sum()
            count = 0
            while known + (s[:count] ** 2).sum() < self.energy * total * (1 - 1e-12):
                count += 1
            self.bases[layer] = torch.cat([m, u[:, :count]], dim=1)

    def after_step(self, _, used, before, __):
        for layer, m in self.bases.items():
            weight, bias = f"{layer}.weight", f"{layer}.bias"
            if weight in used:
                step = torch.cat(
                    [used[weight] - before[weight], (used[bias] - before[bias])[:, None]], dim=1
                )
                step = step - step @ m @ m.T
                used[weight].copy_(before[weight] + step[:, :-1])
                used[bias].copy_(before[bias] + step[:, -1])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_bases_and_steps_are_those_of_a_plain_loop(optimizer):
    bank, parts = make_bank(THREE, **DOUBLE), double(make_data(3))
    plugin, tape, slow = GPM(energy=0.8), Tape(), SlowGPM(parts, 0.8)
    found = train(bank, [plugin, tape], parts=parts, optimizer=optimizer)
    wanted = replay(
        bank,
        tape.batches,
        optimizer=optimizer,
        after_step=slow.after_step,
        after_model=slow.after_model,
    )
    assert_close(found, wanted)
    for layer, basis in slow.bases.items():
        own = plugin.bases[layer]
        assert own.shape == basis.shape
        torch.testing.assert_close(own @ own.T, basis @ basis.T)  # the same span


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_an_earlier_model_fed_a_layer_has_the_same_output_as_before(optimizer):
    bank, parts, outputs = make_bank(**DOUBLE), narrow(), []
    x = parts[0][0]
    plugin = GPM(energy=1.0)

    def note(_, model):
        outputs.append(model.blocks["shared"][0](x).detach())

    train(bank, [plugin], parts=parts, optimizer=optimizer, reset=False, after_each=note)
    before, after = outputs
    torch.testing.assert_close(before, after, rtol=0, atol=1e-9)
    moved = train(bank, [GPM(energy=1.0)], parts=parts, optimizer=optimizer)
    assert distance(moved, train(bank, [Freeze()], parts=parts, optimizer=optimizer)) > 1e-3


def test_bases_are_orthonormal_only_grow_and_have_the_energy():
    plugin, seen = GPM(energy=0.7), []
    bank, parts = make_bank(THREE, **DOUBLE), double(make_data(3))
    train(bank, [plugin], parts=parts, after_each=lambda *_: seen.append(dict(plugin.bases)))
    for before, after in pairwise(seen):
        for name, basis in before.items():
            grown = after[name]
            assert grown.shape[1] >= basis.shape[1]
            torch.testing.assert_close(grown @ (grown.T @ basis), basis)
    for basis in seen[-1].values():
        torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1], dtype=torch.float64))
    first = seen[0]["blocks.x.0"]
    r = torch.cat([parts[0][0], torch.ones(len(parts[0][0]), 1, dtype=torch.float64)], dim=1).T
    assert ((first.T @ r) ** 2).sum() / (r**2).sum() >= 0.7
    s = torch.linalg.svdvals(r)
    fewer = (s[: first.shape[1] - 1] ** 2).sum() / (s**2).sum()
    assert fewer < 0.7  # no more directions than it takes


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "settings",
    [{}, {"stride": 2}, {"padding": 1}, {"dilation": 2}, {"stride": (1, 2), "padding": (2, 0)}],
    ids=str,
)
def test_a_convolution_multiplies_patches(settings, bias):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, 3, bias=bias, **settings)
    (matrix,) = matrices(layer)
    x = torch.randn(2, 3, 8, 8)
    weights = matrix.joined(list(matrix.parameters.values()))
    assert weights.shape == (5, matrix.width)
    products = matrix.vectors(x) @ weights.T
    torch.testing.assert_close(products, layer(x).movedim(1, -1).reshape(-1, 5))
    some = torch.tensor([len(products) - 1, 0, 5])
    assert torch.equal(matrix.vectors(x, some), matrix.vectors(x)[some])
    assert matrix.count(x) == len(products)
    for own, part in zip(matrix.parameters.values(), matrix.parted(weights), strict=True):
        assert torch.equal(own, part)


def test_only_what_is_one_matrix_is_taken_for_one():
    model = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, padding_mode="circular", padding=1),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3),
        nn.Linear(4, 4),
    )
    assert [matrix.name for matrix in matrices(model)] == ["3", "4"]


def test_all_uses_of_a_layer_are_seen():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return self.layer(self.layer(x))

    model = Twice()
    with watched(matrices(model)) as seen:
        model(torch.ones(2, 3))
    assert len(seen["layer"]) == 2
    assert not model.layer._forward_pre_hooks


def test_inputs_are_those_of_evaluation_mode():
    found = []
    for rate in (0.0, 0.5):
        plugin, model = GPM(), make_ordinary()
        model.insert(1, nn.Dropout(rate))
        train(model, [plugin], optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
        found.append([*plugin.bases.values()])
    assert all(torch.equal(*bases) for bases in zip(*found, strict=True))


SEEN = {(): 4096, (("vectors", 4500),): 4500, (("vectors", 6000),): 6000, (("vectors", 9),): 9}


@pytest.mark.parametrize(("settings", "expected"), SEEN.items(), ids=str)
def test_of_a_layer_so_many_vectors_are_seen(settings, expected):
    seen = []

    class Watched(GPM):
        def grown(self, basis, rows):
            seen.append(len(rows))
            return super().grown(basis, rows)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(200, 4))
    x, y = torch.randn(60, 1, 10, 10), torch.arange(60) % 4  # 100 positions of each sample
    train(model, [Watched(**dict(settings))], parts=[(x, y)])
    assert seen == [expected, min(60, expected)]
