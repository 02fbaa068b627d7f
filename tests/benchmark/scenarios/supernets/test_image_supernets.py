"""The two supernets of images, against loops over samples, channels and pixels."""

from itertools import islice

import numpy as np
import pytest
import slow_images as slow
import torch
from torch.nn import functional

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.search.supernets.making import make
from palimpsest.benchmark.search.supernets.settings import ConvolutionalCell, MicroCell
from palimpsest.benchmark.search.supernets.spaces import MICRO_OPERATIONS, OPERATIONS

NORMALISATIONS = ("batch", "layer", "none")


def made(choice, shape, n_classes=3):
    """A supernet in double precision, with normalisation that is not trivial."""
    torch.manual_seed(3)
    supernet = make(choice, shape, n_classes).double()
    for parameter in supernet.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return supernet


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def arrays(supernet):
    return {name: value.numpy() for name, value in supernet.state_dict().items()}


def normalised(kind, maps, weights, layer):
    weight, bias = weights.get(f"{layer}.weight"), weights.get(f"{layer}.bias")
    return slow.NORMALISE[kind](maps, weight, bias)


def slow_cell(choice, weights, x, operations):
    """Logits by the formulas; ``operations`` by edge, such as ``{(0, 1): "conv3x3"}``."""
    kind = choice.normalisation
    maps = slow.convolution([*x.numpy()], weights["stem.0.weight"], choice.stride)
    nodes = [normalised(kind, maps, weights, "stem.1")]
    for target in range(1, choice.nodes):
        total = [np.zeros_like(one) for one in nodes[0]]
        for source in range(target):
            name, maps = operations[source, target], nodes[source]
            if name == "avg_pool3x3":
                maps = slow.pooled(maps, "avg")
            elif name.startswith("conv"):
                own = f"choices.{source}-{target}_{name}"
                maps = slow.convolution(slow.rectified(maps), weights[f"{own}.0.weight"])
                maps = normalised(kind, maps, weights, f"{own}.1")
            total = [one + other for one, other in zip(total, maps, strict=True)]
        nodes.append(total)
    means = [one.mean(axis=(1, 2)) for one in slow.rectified(nodes[-1])]
    return np.stack([weights["head.weight"] @ mean + weights["head.bias"] for mean in means])


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_convolutional_cell_is_its_formulas(normalisation):
    choice = ConvolutionalCell(channels=2, normalisation=normalisation)
    supernet, x = made(choice, (1, 3, 4)), images(2, 1, 3, 4)
    weights = arrays(supernet)
    for a in supernet.space.all():
        order = [(0, 1), (0, 2), (1, 2)]
        edges = {edge: OPERATIONS[taken] for edge, taken in zip(order, a, strict=True)}
        expected = slow_cell(choice, weights, x, edges)
        np.testing.assert_allclose(supernet(x, a).detach().numpy(), expected, atol=1e-10)


def test_a_larger_cell_with_colours_and_a_stride():
    choice = ConvolutionalCell(nodes=4, channels=3, stride=2)
    supernet, x = made(choice, (3, 5, 6)), images(2, 3, 5, 6)
    order = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    generator = np.random.default_rng(2)
    for a in [supernet.space.sample(generator) for _ in range(8)]:
        edges = {edge: OPERATIONS[taken] for edge, taken in zip(order, a, strict=True)}
        expected = slow_cell(choice, arrays(supernet), x, edges)
        np.testing.assert_allclose(supernet(x, a).detach().numpy(), expected, atol=1e-10)


def slow_stack(choice, weights, x, a):
    """Logits of the micro search space by the formulas, every node computed."""
    per_cell = 4 * choice.nodes
    drawings = {"normal": a[:per_cell], "reduction": a[per_cell:]}
    cells = []
    for stage in range(choice.stages):
        filters = choice.filters // 2 ** (choice.stages - 1 - stage)
        cells += [("reduction", filters)] * (stage > 0) + [("normal", filters)] * choice.repeats
    before, last = [*x.numpy()], [*x.numpy()]
    for number, (drawing, filters) in enumerate(cells):
        height = last[0].shape[1]
        height = -(-height // 2) if drawing == "reduction" else height
        nodes = [before, last]
        for node in range(2, 2 + choice.nodes):
            decided = drawings[drawing][4 * (node - 2) : 4 * (node - 1)]
            parts = []
            for source, operation in (decided[:2], decided[2:]):
                own = f"choices.{number}_{source}-{node}_{MICRO_OPERATIONS[operation]}"
                parts.append(slow_operation(choice, weights, own, nodes[source], height, filters))
            nodes.append([(one + other) / 2 for one, other in zip(*parts, strict=True)])
        before, last = last, nodes[-1]
    flat = [one.flatten() for one in last]
    return np.stack([weights["head.weight"] @ one + weights["head.bias"] for one in flat])


def slow_operation(choice, weights, own, maps, height, filters):
    stride = 1 if maps[0].shape[1] == height else 2
    channels = len(maps[0])
    if "conv" in own:
        weight = weights[f"{own}.0.weight"]
        found = slow.convolution(slow.rectified(maps), weight, stride, groups=channels)
        return normalised(choice.normalisation, found, weights, f"{own}.1")
    if "pool" in own:
        found = slow.pooled(maps, "max" if "max" in own else "avg", stride, padding_counts=True)
    else:
        found = [one[:, ::stride, ::stride] for one in maps]
    return [np.concatenate([one] * (filters // channels)) for one in found]


@pytest.mark.parametrize(
    "choice, shape",
    [
        (MicroCell(nodes=2, filters=8), (1, 7, 6)),
        (MicroCell(nodes=3, filters=4, stages=2, repeats=2), (2, 5, 4)),
        (MicroCell(nodes=1, filters=3, stages=1, normalisation="layer"), (3, 4, 4)),
        (MicroCell(nodes=2, filters=4, normalisation="none"), (1, 5, 5)),
    ],
)
def test_the_micro_cell_is_its_formulas(choice, shape):
    supernet, x = made(choice, shape), images(2, *shape)
    generator = np.random.default_rng(4)
    for a in [supernet.space.sample(generator) for _ in range(6)]:
        expected = slow_stack(choice, arrays(supernet), x, a)
        np.testing.assert_allclose(supernet(x, a).detach().numpy(), expected, atol=1e-9)


def test_the_micro_cell_of_the_paper_has_its_size():
    with torch.device("meta"):
        supernet = make(MicroCell(nodes=5, repeats=5, filters=384), (3, 32, 32), 10)
    assert [place.filters for place in supernet.places] == [96] * 5 + [192] * 6 + [384] * 6
    assert [i for i, place in enumerate(supernet.places) if place.reduces] == [5, 11]
    edges = 2 + 3 + 4 + 5 + 6
    cells = sum(edges * (9 + 25 + 2 * 2) * place.filters for place in supernet.places)
    head = 384 * 8 * 8 * 10 + 10
    assert sum(p.numel() for p in supernet.parameters()) == cells + head
    assert supernet(torch.empty(2, 3, 32, 32, device="meta"), (0,) * 40).shape == (2, 10)


@pytest.mark.parametrize(
    "choice, count",
    [
        *((ConvolutionalCell(channels=4, normalisation=kind), None) for kind in NORMALISATIONS),
        (ConvolutionalCell(nodes=5, channels=2), 30),
        (MicroCell(nodes=1, filters=4), 100),
        (MicroCell(nodes=4, filters=12, repeats=2), 25),
    ],
)
def test_used_are_the_parameters_that_have_a_gradient(choice, count):
    supernet, x = make(choice, (1, 9, 9), 4), torch.randn(3, 1, 9, 9)
    space, generator = supernet.space, np.random.default_rng(0)
    drawn = (space.sample(generator) for _ in range(count or 0))
    found = set()
    for a in space.all() if count is None else drawn:
        supernet.zero_grad(set_to_none=True)
        functional.cross_entropy(supernet(x, a), torch.tensor([0, 1, 2])).backward()
        with_gradient = {n for n, p in supernet.named_parameters() if p.grad is not None}
        assert supernet.used(a) == with_gradient
        found.add(supernet.used(a))
    names = {name for name, _ in supernet.named_parameters()}
    assert frozenset.intersection(*found) == names - supernet.edges()
    if count is None:
        assert frozenset.union(*found) == names


def test_only_an_architecture_of_the_space_uses_parameters():
    supernet = make(ConvolutionalCell(), (1, 9, 9), 4)
    with pytest.raises(ValueError, match="has 2 decisions; expected 3"):
        supernet.used((0, 3))


def test_initial_weights_of_the_micro_cell():
    """Of variance 2 / (outputs times pixels of the kernel), without biases; no normalisation."""
    torch.manual_seed(0)
    supernet = make(MicroCell(nodes=1, filters=256), (1, 8, 8), 64)
    weights = {"3x3.0": 3 * 3, "5x5.0": 5 * 5, "head": 1}
    for name, parameter in supernet.named_parameters():
        layer = name.removesuffix(".weight")
        for ending, pixels in weights.items():
            if layer.endswith(ending):
                expected = (2 / (len(parameter) * pixels)) ** 0.5
                assert parameter.std().item() == pytest.approx(expected, rel=0.15)
    assert not supernet.head.bias.any()


def test_a_cell_that_no_later_one_takes_is_not_used():
    supernet = make(MicroCell(nodes=1, filters=4), (1, 8, 8), 4)
    depthwise = MICRO_OPERATIONS.index("depthwise_conv3x3")
    from_two_before = (0, depthwise, 0, depthwise)  # of five cells, only every second leads on
    cells = {
        name.split(".")[1].split("_")[0]
        for name in supernet.used(from_two_before * 2) & supernet.edges()
    }
    assert cells == {"0", "2", "4"}


@pytest.mark.parametrize("settings", [ConvolutionalCell, MicroCell])
def test_batch_normalisation_is_that_of_the_batch_always(settings):
    """No running statistics: a sample's logits depend on its batch, in evaluation, too."""
    x = torch.randn(6, 1, 8, 8)
    for kind, depends in (("batch", True), ("layer", False), ("none", False)):
        supernet = make(settings(normalisation=kind), (1, 8, 8), 4)
        a = supernet.space.sample(np.random.default_rng(1))
        training = supernet(x, a)
        supernet.eval()
        before = {name: value.clone() for name, value in supernet.state_dict().items()}
        whole, half = supernet(x, a), supernet(x[:3], a)
        assert torch.equal(training, whole)
        assert torch.allclose(whole[:3], half, atol=1e-5) != depends
        assert all(torch.equal(v, before[name]) for name, v in supernet.state_dict().items())


@pytest.mark.parametrize("choice", [ConvolutionalCell(), MicroCell()])
def test_the_same_seed_gives_the_same_network_and_logits(choice):
    x = torch.randn(4, 1, 8, 8)
    logits = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        supernet = make(choice, (1, 8, 8), 4)
        logits.append([supernet(x, a) for a in islice(supernet.space.all(), 60, 64)])
    first, again, other = logits
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.allclose(a, b) for a, b in zip(first, other, strict=True))


def test_channels_that_cannot_be_repeated_are_refused():
    with pytest.raises(UserError, match="filters is 16; expected a multiple of 12, so that the 3"):
        make(MicroCell(filters=16), (3, 32, 32), 10)
