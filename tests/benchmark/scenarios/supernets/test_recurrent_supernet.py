"""The recurrent supernet, against the formulas for one sequence and one word at a time."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.search.supernets.making import make
from palimpsest.benchmark.search.supernets.settings import RecurrentCell
from palimpsest.benchmark.search.supernets.spaces import ACTIVATIONS

NO_DROPOUT = {"embedding": 0, "input": 0, "output": 0, "weights": 0}
FUNCTIONS = {
    "tanh": lambda v: 2 * torch.sigmoid(2 * v) - 1,
    "relu": lambda v: torch.where(v > 0, v, 0.0),
    "identity": lambda v: v,
    "sigmoid": torch.sigmoid,
}


def made(words=7, scale=0.8, **settings):
    """A supernet in double precision without dropout, with weights that are not small."""
    settings = {"nodes": 3, "hidden": 4, "dropout": NO_DROPOUT} | settings
    torch.manual_seed(2)
    supernet = make(RecurrentCell.model_validate(settings), None, words).double()
    for parameter in supernet.parameters():
        torch.nn.init.normal_(parameter, 0, scale)
    return supernet


def texts(n=3, length=4, words=7):
    return torch.randint(words, (n, length), generator=torch.Generator().manual_seed(1))


def architectures(supernet, count):
    generator = np.random.default_rng(3)
    return [supernet.space.sample(generator) for _ in range(count)]


def decoded(supernet, a, first):
    """Activation names and parents from the decisions: f_0, then parent and activation."""
    a = [*a] if first is None else [ACTIVATIONS.index(first), *a]
    names, parents = [ACTIVATIONS[a[0]]], [None]
    for j in range(1, supernet.space.nodes):
        parents.append(a[2 * j - 1])
        names.append(ACTIVATIONS[a[2 * j]])
    return names, parents


def slow_logits(supernet, x, a, first=None, feedback="last", normalise=None, begin=None):
    """Logits and states at the end; differentiable by the supernet's parameters."""
    p = dict(supernet.named_parameters())
    names, parents = decoded(supernet, a, first)
    outputs, ends = [], []
    for n, sequence in enumerate(x.tolist()):
        h = torch.zeros(4, dtype=torch.float64) if begin is None else begin[n]
        outputs.append([])
        for word in sequence:
            e = p["embedding.weight"][word]
            gate = p["input_gate.weight"] @ e + p["input_gate.bias"] + p["state_gate.weight"] @ h
            value = p["input_value.weight"] @ e + p["input_value.bias"]
            value = value + p["state_value.weight"] @ h
            c = FUNCTIONS["sigmoid"](gate)
            nodes = [c * FUNCTIONS[names[0]](value) + (1 - c) * h]
            for j in range(1, len(names)):
                i = parents[j]
                c = FUNCTIONS["sigmoid"](p[f"choices.{i}-{j}.gate.weight"] @ nodes[i])
                f = FUNCTIONS[names[j]](p[f"choices.{i}-{j}.value.weight"] @ nodes[i])
                nodes.append(c * f + (1 - c) * nodes[i])
            leaves = [node for j, node in enumerate(nodes) if j not in parents]
            mean = sum(leaves) / len(leaves)
            outputs[-1].append(mean)
            h = nodes[-1] if feedback == "last" else mean
            norm = (h.detach() ** 2).sum().sqrt()
            if norm > 25:
                h = h * (25 / norm)
        ends.append(h)
    normalised = (normalise or (lambda outputs, *_: outputs))(
        outputs, p.get("normalisation.weight"), p.get("normalisation.bias")
    )
    logits = [
        torch.stack([p["embedding.weight"] @ o + p["bias"] for o in row]) for row in normalised
    ]
    return torch.stack(logits), torch.stack(ends)


def over_the_batch(outputs, weight, bias):
    """Each unit at each time step by its mean and variance over the sequences."""
    found = [[None] * len(outputs[0]) for _ in outputs]
    for t in range(len(outputs[0])):
        mean = sum(row[t] for row in outputs) / len(outputs)
        variance = sum((row[t] - mean) ** 2 for row in outputs) / len(outputs)
        for n, row in enumerate(outputs):
            found[n][t] = (row[t] - mean) / (variance + 1e-5).sqrt() * weight + bias
    return found


def over_the_units(outputs, weight, bias):
    return [
        [(o - o.mean()) / (((o - o.mean()) ** 2).mean() + 1e-5).sqrt() * weight + bias for o in row]
        for row in outputs
    ]


NORMALISE = {"batch": over_the_batch, "layer": over_the_units, "none": None}


@pytest.mark.parametrize("normalisation", NORMALISE)
@pytest.mark.parametrize("feedback", ["last", "leaves"])
def test_it_is_its_formulas_for_every_small_architecture(feedback, normalisation):
    supernet = made(first_activation="tanh", feedback=feedback, normalisation=normalisation)
    x = texts()
    for a in supernet.space.all():
        expected, end = slow_logits(supernet, x, a, "tanh", feedback, NORMALISE[normalisation])
        torch.testing.assert_close(supernet(x, a), expected)
        torch.testing.assert_close(supernet.end, end.detach())


def test_gradients_are_those_of_the_formulas_where_states_are_scaled_down():
    supernet, x = made(scale=5.0, nodes=4, normalisation="none"), texts(length=5)
    clipped = 0
    for a in architectures(supernet, 12):
        expected, _ = slow_logits(supernet, x, a)
        used = {n: p for n, p in supernet.named_parameters() if n in supernet.used(a)}
        right = torch.autograd.grad(expected.tanh().sum(), [*used.values()])
        logits = supernet(x, a)
        clipped += bool((supernet.end.norm(dim=1) > 24.999).any())
        assert (supernet.end.norm(dim=1) < 25.001).all()
        found = torch.autograd.grad(logits.tanh().sum(), [*used.values()])
        torch.testing.assert_close(logits, expected)
        torch.testing.assert_close(found, right)
    assert 3 < clipped < 12


@pytest.mark.parametrize("nodes", [1, 2, 8])
def test_cells_of_other_sizes(nodes):
    supernet, x = made(nodes=nodes), texts()
    for a in architectures(supernet, 5):
        expected, _ = slow_logits(supernet, x, a, normalise=over_the_batch)
        torch.testing.assert_close(supernet(x, a), expected)


def test_a_state_that_is_given_is_gone_on_from():
    supernet, x = made(normalisation="batch", nodes=4), texts(length=6)
    for a in architectures(supernet, 4):
        supernet.begin = None
        whole, end = supernet(x, a), supernet.end
        first = supernet(x[:, :2], a)
        assert not supernet.end.requires_grad
        supernet.begin = supernet.end
        second = supernet(x[:, 2:], a)
        torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
        torch.testing.assert_close(supernet.end, end)
        supernet.begin = torch.randn(2, 4, dtype=torch.float64)  # of another batch
        torch.testing.assert_close(supernet(x, a), whole)


@pytest.mark.parametrize("feedback", ["last", "leaves"])
@pytest.mark.parametrize("normalisation", NORMALISE)
def test_used_are_the_parameters_that_have_a_gradient(feedback, normalisation):
    small = {"first_activation": "tanh", "feedback": feedback, "normalisation": normalisation}
    supernet, x = made(**small), texts()
    check_used(supernet, x, supernet.space.all())
    names = {name for name, _ in supernet.named_parameters()}
    every = [supernet.used(a) for a in supernet.space.all()]
    assert frozenset.intersection(*every) == names - supernet.edges() | {
        "choices.0-1.gate.weight",  # node 1 has no choice of parents
        "choices.0-1.value.weight",
    }
    assert frozenset.union(*every) == names
    large = made(nodes=12, feedback=feedback, normalisation=normalisation)
    check_used(large, x, architectures(large, 20))


def check_used(supernet, x, every):
    for a in every:
        supernet.zero_grad(set_to_none=True)
        supernet(x, a).tanh().sum().backward()
        with_gradient = {n for n, p in supernet.named_parameters() if p.grad is not None}
        assert supernet.used(a) == with_gradient


def test_the_published_network_has_its_size_and_initial_weights():
    with torch.device("meta"):
        supernet = make(RecurrentCell(nodes=12, hidden=1000), None, 10_000)
    count = sum(p.numel() for p in supernet.parameters())
    square = 1000 * 1000
    assert count == 10_000 * 1000 + 10_000 + 2 * (square + 1000) + 2 * square + 132 * square + 2000
    small = make(RecurrentCell(), None, 500)
    for name, parameter in small.named_parameters():
        if name == "bias":
            assert not parameter.any()
        else:
            assert parameter.abs().max() <= 0.025
            assert parameter.std().item() == pytest.approx(0.025 / 3**0.5, rel=0.3)


def dropping(**rates):
    supernet = made(words=6, hidden=6, dropout=NO_DROPOUT | rates)
    return supernet, texts(n=40, length=5, words=6), architectures(supernet, 1)[0]


def seen(module, run):
    """What goes into a module and comes out of it."""
    calls = []
    handle = module.register_forward_hook(lambda _, args, out: calls.append((args[0], out)))
    run()
    handle.remove()
    return calls[0]


def test_embedding_dropout_drops_words_everywhere():
    supernet, x, a = dropping(embedding=0.5)
    vectors, _ = seen(supernet.input_gate, lambda: supernet(x, a))
    dropped = set()
    for word in range(6):
        own = vectors[x == word]
        expected = 2 * supernet.embedding.weight[word]
        if not own.any():
            dropped.add(word)
            expected = torch.zeros_like(expected)
        torch.testing.assert_close(own, expected.expand_as(own))
    assert 0 < len(dropped) < 6


def test_input_dropout_is_the_same_at_all_time_steps():
    supernet, x, a = dropping(input=0.25)
    vectors, _ = seen(supernet.input_value, lambda: supernet(x, a))
    check_locked(vectors / supernet.embedding.weight[x], 0.25)


def test_output_dropout_is_the_same_at_all_time_steps():
    supernet, x, a = dropping(output=0.25)
    with torch.no_grad():
        supernet.embedding.weight.copy_(torch.eye(6))  # so that logits are the dropped outputs
        supernet.bias.zero_()
    logits = []
    _, outputs = seen(supernet.normalisation, lambda: logits.append(supernet(x, a)))
    check_locked(logits[0] / outputs, 0.25)


def check_locked(factors, rate):
    """Kept elements, scaled up, are those of the first time step of the same sequence."""
    kept = (factors[:, 0] != 0).double()
    torch.testing.assert_close(factors, (kept / (1 - rate))[:, None].expand_as(factors))
    assert kept.mean().item() == pytest.approx(1 - rate, abs=0.1)
    assert len(kept.unique(dim=0)) > 10  # of another sequence, another choice


def test_drop_connect_has_one_mask_for_all_time_steps():
    supernet, x, a = dropping(weights=0.5)
    torch.manual_seed(7)
    found = supernet(x, a)
    torch.manual_seed(7)
    supernet.eval()
    with torch.no_grad():
        for layer in (supernet.state_gate, supernet.state_value):
            mask = functional.dropout(torch.ones_like(layer.weight), 0.5)
            assert 0 < mask.count_nonzero() < mask.numel()
            layer.weight *= mask
    torch.testing.assert_close(found, supernet(x, a))


def test_nothing_is_dropped_in_evaluation():
    supernet = made(words=20, dropout=dict.fromkeys(NO_DROPOUT, 0.5))
    x, a = texts(n=4, words=20), architectures(supernet, 1)[0]
    torch.manual_seed(0)
    training = supernet(x, a)
    torch.manual_seed(0)
    assert torch.equal(supernet(x, a), training)
    assert not torch.allclose(supernet(x, a), training, rtol=1e-3)
    supernet.eval()
    assert torch.equal(supernet(x, a), supernet(x, a))
    torch.testing.assert_close(
        supernet(x, a), slow_logits(supernet, x, a, None, "last", over_the_batch)[0]
    )


@pytest.mark.parametrize("normalisation", NORMALISE)
def test_it_trains_in_bfloat16(normalisation):
    supernet, x = made(normalisation=normalisation).float(), texts()
    a = architectures(supernet, 1)[0]
    exact = supernet(x, a)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):
            logits = supernet(x, a)
            supernet.begin = torch.zeros_like(supernet.end)
    logits.float().tanh().sum().backward()
    assert supernet.embedding.weight.grad.isfinite().all()
    torch.testing.assert_close(logits.float(), exact, atol=0.3, rtol=0.1)


def test_only_batch_normalisation_makes_sequences_depend_on_each_other():
    x = texts(n=6)
    for kind in NORMALISE:
        supernet = made(normalisation=kind).eval()
        a = architectures(supernet, 1)[0]
        alone, whole = supernet(x[:2], a), supernet(x, a)[:2]
        assert torch.allclose(alone, whole) == (kind != "batch")


def test_a_single_sequence_has_no_batch_to_be_normalised_by():
    supernet = made()
    with pytest.raises(UserError, match="needs two or more of them, got one: use more columns"):
        supernet(texts(n=1), architectures(supernet, 1)[0])
    other = made(normalisation="layer")
    assert other(texts(n=1), architectures(other, 1)[0]).shape == (1, 4, 7)
