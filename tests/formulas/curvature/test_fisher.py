"""The diagonal Fisher information against a plain loop of autograd calls, sample by sample."""

import copy
from types import SimpleNamespace

import pytest
import torch
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.models import IncrementalClassifier, MTSimpleMLP, SimpleMLP
from avalanche.models.utils import avalanche_forward
from programs import (
    CLASSES,
    FEATURES,
    THREE,
    in_memory_streams,
    make_bank,
    make_data,
    slow_fisher,
    stock_streams,
)
from single_samples import ESTIMATORS, SAMPLES, Apply, drawn_labels, generator, tokens, vectors
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from palimpsest.strategies.curvature.fisher import diagonal_fisher, draw, fisher_of_training
from palimpsest.strategies.curvature.fisher_factors import draw_classes
from palimpsest.strategies.curvature.per_sample import gradients as per_sample_gradients
from palimpsest.strategies.curvature.per_sample import layers as fisher_layers
from palimpsest.strategies.curvature.per_sample import sums as per_sample


def mlp():
    return nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7, bias=False), nn.Tanh(), nn.Linear(7, CLASSES)
    )


def conv():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    )


def tied_linear_layers():
    model = Apply(
        lambda m, x: m.head(m.second(m.first(x).tanh()).tanh()),
        first=nn.Linear(6, 6),
        second=nn.Linear(6, 6),
        head=nn.Linear(6, CLASSES),
    )
    model.second.weight = model.first.weight
    return model


def tied_embedding():
    model = Apply(
        lambda m, x: m.decoder(m.embedding(x).mean(dim=1).tanh()),
        embedding=nn.Embedding(9, 4),
        decoder=nn.Linear(4, 9),
    )
    model.decoder.weight = model.embedding.weight
    return model


def grown_head(body):
    model = nn.Sequential(*body, IncrementalClassifier(8))
    experiences, _ = stock_streams([make_data(1)[0]], [0])
    model[-1].adaptation(experiences[0])
    return model


def grown_avalanche_heads():
    model = MTSimpleMLP(input_size=FEATURES, hidden_size=8)
    for experience in stock_streams(make_data(2), [0, 1])[0]:
        model.adaptation(experience)
        model.classifier.adaptation(experience)
    return model


# name -> (network, inputs, task label)
CASES = {
    "mlp": lambda: (mlp(), vectors(6), 0),
    "convolutions": lambda: (conv(), vectors(1, 8, 8), 0),
    "dropout": lambda: (
        nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, CLASSES)),
        vectors(6),
        0,
    ),
    "gru": lambda: (
        Apply(
            lambda m, x: m.head(m.rnn(x)[0][:, -1]),
            rnn=nn.GRU(6, 5, batch_first=True),
            head=nn.Linear(5, CLASSES),
        ),
        vectors(4, 6),
        0,
    ),
    "linear_on_flattened_sequences": lambda: (
        Apply(
            lambda m, x: m.head(m.body(x.reshape(-1, 6)).tanh().view(len(x), -1, 5).mean(dim=1)),
            body=nn.Linear(6, 5),
            head=nn.Linear(5, CLASSES),
        ),
        vectors(4, 6),
        0,
    ),
    "linear_twice": lambda: (
        Apply(
            lambda m, x: m.head(m.body(m.body(x).tanh()).tanh()),
            body=nn.Linear(6, 6),
            head=nn.Linear(6, CLASSES),
        ),
        vectors(6),
        0,
    ),
    "tied_linear_layers": lambda: (tied_linear_layers(), vectors(6), 0),
    "tied_embedding": lambda: (tied_embedding(), tokens(), 0),
    "bank": lambda: (make_bank(), vectors(FEATURES), 1),
    "bank_of_three": lambda: (make_bank(THREE), vectors(FEATURES), 2),
    "simple_mlp": lambda: (
        SimpleMLP(num_classes=CLASSES, input_size=36, hidden_size=8, hidden_layers=2),
        vectors(1, 6, 6),
        0,
    ),
    "mt_simple_mlp": lambda: (grown_avalanche_heads(), vectors(FEATURES), 1),
    "incremental_classifier": lambda: (
        grown_head([nn.Linear(FEATURES, 8), nn.ReLU()]),
        vectors(FEATURES),
        0,
    ),
    "incremental_classifier_on_convolutions": lambda: (
        grown_head([nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten()]),
        vectors(1, 4, 4),
        0,
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    torch.manual_seed(0)
    model, x, label = CASES[request.param]()
    y = torch.randint(CLASSES, (SAMPLES,))
    return model.double(), x.double() if x.is_floating_point() else x, y, label


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_equals_a_loop_over_samples_and_classes(case, estimator):
    model, x, y, label = case
    parameters = dict(model.named_parameters())
    drawn = drawn_labels(model, x, label) if estimator == "monte_carlo" else None
    expected = slow_fisher(model, parameters, x, y, estimator, label, drawn)
    got = diagonal_fisher(
        model, parameters, x, y, estimator=estimator, task_label=label, generator=generator()
    )
    assert got.keys() == expected.keys()
    for name, value in got.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-12, msg=name)


def test_predicted_takes_the_most_probable_label(case):
    model, x, y, label = case
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        likely = avalanche_forward(copy.deepcopy(model).eval(), x, label).argmax(dim=-1)
    expected = slow_fisher(model, parameters, x, y, "predicted", label, likely)
    got = diagonal_fisher(model, parameters, x, y, estimator="predicted", task_label=label)
    for name, value in got.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-12, msg=name)


@pytest.mark.parametrize("batch", [1, 3, SAMPLES])
def test_batched_squares_the_mean_gradients_of_batches(case, batch):
    model, x, y, label = case
    parameters = dict(model.named_parameters())
    got = diagonal_fisher(
        model, parameters, x, y, estimator="batched", task_label=label, batch=batch
    )
    if batch == 1:
        expected = slow_fisher(model, parameters, x, y, "empirical", label)
    else:
        expected = slow_batched(copy.deepcopy(model).eval(), x, y, label, batch)
    assert got.keys() == expected.keys()
    for name, value in got.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-12, msg=name)
    if batch == SAMPLES:
        empirical = diagonal_fisher(
            model, parameters, x, y, estimator="empirical", task_label=label
        )
        assert sum(v.sum() for v in got.values()) < sum(v.sum() for v in empirical.values())


def slow_batched(model, x, y, label, batch):
    """The squared means over batches of the gradients that single samples have."""
    of_samples = []
    for n in range(len(x)):
        model.zero_grad()
        functional.cross_entropy(
            avalanche_forward(model, x[n : n + 1], label), y[n, None]
        ).backward()
        of_samples.append(
            {
                name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
                for name, p in model.named_parameters()
            }
        )
    groups = [of_samples[i : i + batch] for i in range(0, len(x), batch)]
    return {
        name: sum((sum(g[name] for g in group) / len(group)) ** 2 for group in groups) / len(groups)
        for name in of_samples[0]
    }


@pytest.mark.parametrize("name", ["mlp", "convolutions", "gru"])
def test_exact_is_the_diagonal_of_the_dense_fisher_matrix(name):
    torch.manual_seed(0)
    model, x, _ = CASES[name]()
    model, x = model.double(), x.double()
    parameters = list(model.parameters())
    dense = 0.0
    for sample in x:
        logits = model(sample[None])[0]
        rows = []
        for logit in logits:
            gradients = torch.autograd.grad(logit, parameters, retain_graph=True)
            rows.append(torch.cat([g.reshape(-1) for g in gradients]))
        jacobian, p = torch.stack(rows), logits.softmax(dim=0).detach()
        dense = dense + jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian / len(x)
    got = diagonal_fisher(model, dict(model.named_parameters()), x, torch.zeros(SAMPLES).long())
    flat = torch.cat([value.reshape(-1) for value in got.values()])
    torch.testing.assert_close(flat, dense.diagonal(), rtol=1e-8, atol=1e-12)


def test_monte_carlo_converges_to_exact():
    torch.manual_seed(0)
    model, copies = nn.Linear(3, CLASSES).double(), 5000
    x = torch.randn(4, 3).double()
    log_p = model(x).log_softmax(dim=-1)
    second, fourth = 0.0, 0.0  # moments of the score over the model's own labels
    variance = 0.0
    for n in range(len(x)):
        second = fourth = 0.0
        for c in range(CLASSES):
            (g,) = torch.autograd.grad(log_p[n, c], [model.weight], retain_graph=True)
            second = second + log_p[n, c].exp().item() * g**2
            fourth = fourth + log_p[n, c].exp().item() * g**4
        variance = variance + (fourth - second**2) / len(x) ** 2 / copies
    many = x.repeat(copies, 1)
    y = torch.zeros(len(many)).long()
    wanted = {"weight": model.weight}
    exact = diagonal_fisher(model, wanted, many, y)["weight"]
    drawn = diagonal_fisher(model, wanted, many, y, estimator="monte_carlo", generator=generator())[
        "weight"
    ]
    deviations = (drawn - exact) / variance.sqrt()
    assert deviations.abs().max() < 4.5
    assert deviations.abs().max() > 0.01  # it was drawn, not calculated


@pytest.mark.parametrize("estimator", ["exact", "empirical"])
@pytest.mark.parametrize("name", ["mlp", "convolutions", "gru", "bank", "linear_twice"])
def test_does_not_depend_on_batches_and_chunks(monkeypatch, name, estimator):
    torch.manual_seed(0)
    model, x, label = CASES[name]()
    model, x = model.double(), x.double()
    y = torch.randint(CLASSES, (SAMPLES,))
    wanted = dict(model.named_parameters())

    def estimate():
        return diagonal_fisher(model, wanted, x, y, estimator=estimator, task_label=label)

    whole = estimate()
    monkeypatch.setattr(per_sample, "_BATCH", 3)
    for module in (per_sample_gradients, fisher_layers):
        monkeypatch.setattr(module, "_CHUNK_ELEMENTS", 1)
    for key, value in estimate().items():
        torch.testing.assert_close(value, whole[key], rtol=1e-10, atol=1e-14, msg=key)
    monkeypatch.setattr(per_sample, "_BATCH_ELEMENTS", 1)
    for key, value in estimate().items():
        torch.testing.assert_close(value, whole[key], rtol=1e-10, atol=1e-14, msg=key)


def test_batches_do_not_change_the_labels_drawn(monkeypatch):
    torch.manual_seed(0)
    model, x = conv().double(), vectors(1, 8, 8).double()
    wanted = dict(model.named_parameters())
    y = torch.zeros(SAMPLES).long()

    def estimate():
        return diagonal_fisher(model, wanted, x, y, estimator="monte_carlo", generator=generator())

    whole = estimate()
    monkeypatch.setattr(per_sample, "_BATCH", 2)
    for key, value in estimate().items():
        torch.testing.assert_close(value, whole[key], rtol=1e-10, atol=1e-14, msg=key)


@pytest.mark.parametrize("name", ["mlp", "convolutions", "gru"])
@pytest.mark.parametrize("chosen", [["0.weight"], ["head.bias"], ["rnn.weight_ih_l0"]])
def test_a_subset_of_the_parameters_has_the_same_values(name, chosen):
    torch.manual_seed(0)
    model, x, _ = CASES[name]()
    parameters = dict(model.named_parameters())
    if chosen[0] not in parameters:
        chosen = [list(parameters)[-1]]
    y = torch.zeros(SAMPLES).long()
    every = diagonal_fisher(model, parameters, x, y)
    some = diagonal_fisher(model, {n: parameters[n] for n in chosen}, x, y)
    assert list(some) == chosen
    for key, value in some.items():
        torch.testing.assert_close(value, every[key], rtol=1e-5, atol=1e-9)


def test_parameters_without_gradient_can_be_left_out():
    torch.manual_seed(0)
    model, x = mlp(), vectors(6)
    y = torch.zeros(SAMPLES).long()
    every = diagonal_fisher(model, dict(model.named_parameters()), x, y)
    model[0].requires_grad_(False)
    wanted = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for key, value in diagonal_fisher(model, wanted, x, y).items():
        torch.testing.assert_close(value, every[key])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_leaves_no_trace(case, estimator):
    model, x, y, label = case
    model.train()
    next(model.children()).eval()  # modes are mixed
    for i, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, 2.0) if i % 2 else None
    modes = [module.training for module in model.modules()]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(12)
    random = torch.get_rng_state()

    diagonal_fisher(
        model,
        dict(model.named_parameters()),
        x,
        y,
        estimator=estimator,
        task_label=label,
        generator=generator(),
    )

    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)
    assert all(p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_modes_and_hooks_are_restored_after_an_error():
    model = mlp().train()
    with pytest.raises(RuntimeError):
        diagonal_fisher(
            model, dict(model.named_parameters()), torch.zeros(3, 99), torch.zeros(3).long()
        )
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_works_inside_no_grad():
    torch.manual_seed(0)
    model, x = conv(), vectors(1, 8, 8)
    wanted, y = dict(model.named_parameters()), torch.zeros(SAMPLES).long()
    expected = diagonal_fisher(model, wanted, x, y)
    with torch.no_grad():
        got = diagonal_fisher(model, wanted, x, y)
    assert all(torch.equal(got[name], expected[name]) for name in wanted)
    assert not any(value.requires_grad for value in got.values())


def test_draw_takes_each_sample_at_most_once():
    dataset = stock_streams(make_data(1), [0])[0][0].dataset
    x, y, _ = draw(dataset, 25, generator())
    assert len(x.unique(dim=0)) == len(x) == len(y) == 25


def test_draw_takes_all_where_there_are_fewer():
    part = make_data(1)[0]
    x, _, _ = draw(stock_streams([part], [0])[0][0].dataset, 1000, generator())
    assert torch.equal(x.sort(dim=0).values, part[0].sort(dim=0).values)


def test_draw_keeps_inputs_and_targets_together():
    x, y = make_data(1)[0]
    some_x, some_y, _ = draw(stock_streams([(x, y)], [0])[0][0].dataset, 9, generator())
    for sample, target in zip(some_x, some_y, strict=True):
        assert y[(x == sample).all(dim=1)].tolist() == [int(target)]


def test_draw_uses_no_augmentation():
    x, y = make_data(1)[0]
    plain = TensorDataset(x, y)
    plain.targets = y.tolist()
    dataset = as_classification_dataset(
        plain, transform_groups={"train": (lambda t: t + 100, None), "eval": (None, None)}
    ).train()
    assert draw(dataset, 5, generator())[0].max() < 50


@pytest.mark.parametrize("label", [0, 2])
def test_draw_of_tensors_is_that_of_single_items(label):
    part = make_data(1)[0]
    items, tensors = (
        streams([part], [label])[0][0].dataset for streams in (stock_streams, in_memory_streams)
    )
    single = draw(items, 9, generator())
    assert single[2].tolist() == [label] * 9
    mixed = InMemory(*part, torch.full_like(part[1], label))
    for found in (draw(tensors, 9, generator()), draw(mixed, 9, generator())):
        assert all(torch.equal(one, other) for one, other in zip(found, single, strict=True))


class InMemory:
    """A data set in memory whose samples have a task label each."""

    def __init__(self, *tensors):
        self.tensors = tensors

    def __len__(self):
        return len(self.tensors[0])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_after_a_training_it_is_the_mean_over_samples_of_all_task_labels(estimator):
    bank, (x, y) = make_bank(THREE), make_data(1)[0]
    wanted = {n: p for n, p in bank.named_parameters() if n.startswith(("blocks.x", "blocks.y"))}
    task = 2 * (torch.arange(len(x)) % 3 == 0).long()  # models 1 and 3; more samples of the first
    training = SimpleNamespace(model=bank, device="cpu", adapted_dataset=InMemory(x, y, task))
    before = torch.get_rng_state()
    found = fisher_of_training(training, wanted, estimator=estimator, samples=9, batch=128, seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    source = torch.Generator().manual_seed(7)
    chosen = torch.randperm(len(x), generator=source)[:9]
    expected = dict.fromkeys(wanted, 0)
    for label in (0, 2):
        own = chosen[task[chosen] == label]
        drawn = None
        if estimator == "monte_carlo":
            p = avalanche_forward(bank, x[own], label).softmax(dim=-1)
            drawn = draw_classes(p, torch.rand(len(own), generator=source))
        part = slow_fisher(bank, list(wanted), x[own], y[own], estimator, label, drawn)
        expected = {name: expected[name] + part[name] * len(own) / 9 for name in wanted}
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-7, msg=name)
