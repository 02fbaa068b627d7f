"""Small Avalanche programs that the tests of the strategies train, and slow references."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from itertools import pairwise

import pytest
import torch
from avalanche.benchmarks import (
    benchmark_from_datasets,
    tensors_benchmark,
    with_classes_timeline,
    with_task_labels,
)
from avalanche.models.utils import avalanche_forward
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset
from palimpsest.benchmark.training.template import InMemoryTraining, silent_evaluator

FEATURES, CLASSES, SAMPLES, BATCH = 6, 4, 40, 10

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02, weight_decay=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
    "centred rmsprop with momentum": lambda p: torch.optim.RMSprop(
        p, lr=0.002, momentum=0.5, centered=True, eps=1e-3
    ),
}

EVERY = OPTIMIZERS | {"adamw": lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.1)}
every = pytest.mark.parametrize("optimizer", EVERY.values(), ids=EVERY)
every_program = pytest.mark.parametrize("program", ["naive", "in_memory"])
DOUBLE = {"dtype": torch.float64}


def still(parameters):
    """An optimizer that moves nothing."""
    return torch.optim.SGD(parameters, lr=0.0)


def make_data(models=2, samples=SAMPLES, seed=0):
    """Return (x, y) for each model; each has its own linear rule."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for _ in range(models):
        x = torch.randn(samples, FEATURES, generator=generator)
        rule = torch.randn(FEATURES, CLASSES, generator=generator)
        y = (x @ rule).argmax(dim=1)
        y[:CLASSES] = torch.arange(CLASSES)  # every class occurs
        parts.append((x, y))
    return parts


def double(parts):
    return [(x.double(), y) for x, y in parts]


def images(models=3):
    return [(torch.cat([x, x[:, :3]], dim=1).view(-1, 1, 3, 3), y) for x, y in make_data(models)]


def make_bank(paths=(("shared", "a"), ("shared", "b")), seed=0, dtype=torch.float32):
    """Return a bank; blocks in last place are heads, the others hidden layers."""
    torch.manual_seed(seed)
    heads = {path[-1] for path in paths}
    names = list(dict.fromkeys(name for path in paths for name in path))
    first = {path[0] for path in paths}
    blocks = {}
    for name in names:
        size = FEATURES if name in first else 8
        if name in heads:
            blocks[name] = nn.Linear(size, CLASSES)
        else:
            blocks[name] = nn.Sequential(nn.Linear(size, 8), nn.Tanh())
    return ModelBank(blocks, paths, CLASSES).to(dtype)


THREE = (("x", "y", "a"), ("z", "y", "b"), ("x", "y", "c"))
"""Models 1 and 3 share block x, which 2 does not use; all share y."""

TRUNK = (("shared", "a"), ("shared", "b"), ("shared", "c"))


def make_cnn(dtype=torch.float64):
    """Return a bank of three models that share a convolution and a linear layer."""
    torch.manual_seed(0)
    blocks = {
        "conv": nn.Sequential(nn.Conv2d(1, 3, 2, padding=1), nn.Tanh(), nn.Flatten()),
        "wide": nn.Sequential(nn.Linear(48, 8), nn.Tanh()),
    } | {name: nn.Linear(8, CLASSES) for name in "abc"}
    return ModelBank(blocks, [("conv", "wide", name) for name in "abc"], CLASSES).to(dtype)


def make_ordinary(seed=0):
    """Return a model that is no bank: all models share everything."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, CLASSES))


MODELS = {"bank": make_bank, "ordinary": make_ordinary}


class Tape(SupervisedPlugin):
    """Records the batches of each model, so that a reference can replay them."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def before_training_exp(self, strategy, *_, **__):
        self.batches.append([])

    def before_forward(self, strategy, *_, **__):
        self.batches[-1].append((strategy.mb_x.clone(), strategy.mb_y.clone()))


def stock_streams(parts, labels):
    """Return train and test experiences with Avalanche's own datasets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        benchmark = tensors_benchmark(parts, parts, task_labels=labels)
    return list(benchmark.train_stream), list(benchmark.test_stream)


def in_memory_streams(parts, labels):
    """Return train and test experiences with the harness's datasets."""
    datasets = [InMemoryDataset.of(x, y, t) for (x, y), t in zip(parts, labels, strict=True)]
    streams = benchmark_from_datasets(train=datasets, test=datasets)
    streams = with_task_labels(with_classes_timeline(streams)).streams
    return list(streams["train"]), list(streams["test"])


def make_program(program, model, optimizer, plugins, batch_size=BATCH, epochs=2, count=2):
    """Return an Avalanche strategy: ``naive`` or ``in_memory``."""
    if program == "naive":
        return Naive(
            model=model,
            optimizer=optimizer,
            criterion=nn.CrossEntropyLoss(),
            train_mb_size=batch_size,
            train_epochs=epochs,
            eval_mb_size=100,
            plugins=list(plugins),
            evaluator=silent_evaluator,
        )
    return InMemoryTraining(
        model=model,
        optimizer=optimizer,
        batch_size=batch_size,
        steps=[epochs * -(-SAMPLES // batch_size)] * count,
        order_seeds=list(range(count)),
        device="cpu",
        plugins=list(plugins),
    )


def train(
    model,
    plugins=(),
    *,
    parts=None,
    labels=None,
    program="naive",
    optimizer="sgd",
    batch_size=BATCH,
    epochs=2,
    reset=True,
    evaluate=False,
    after_each=None,
):
    """Train a copy of a model on every part in turn; return the copy."""
    model = copy.deepcopy(model)
    parts = parts or make_data()
    if labels is None:
        labels = list(range(len(parts))) if isinstance(model, ModelBank) else [0] * len(parts)
    streams = stock_streams if program == "naive" else in_memory_streams
    experiences, tests = streams(parts, labels)
    make = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
    strategy = make_program(
        program, model, make(model.parameters()), plugins, batch_size, epochs, len(parts)
    )
    for i, experience in enumerate(experiences):
        torch.manual_seed(100 + i)
        strategy.train(
            experience,
            eval_streams=[],
            reset_optimizer_state=reset,
            num_workers=0,
            pin_memory=False,
        )
        if after_each:
            after_each(i, model)
        if evaluate:
            strategy.eval(tests)
    return model


def snapshot(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def evaluated(plugin, model, index):
    """The weights that a model is evaluated with."""
    with plugin.evaluating(model, index):
        return snapshot(model)


def used_and_moved(plugin, program):
    """Train three models; the parameters of each, and those that the second and third moved."""
    bank, states = make_bank(THREE), []
    after = {"after_each": lambda _, m: states.append(snapshot(m))}
    train(bank, [plugin], parts=make_data(3), program=program, **after)
    moved = [{n for n in a if not torch.equal(a[n], b[n])} for a, b in pairwise(states)]
    return [set(bank.parameters_of(i)) for i in range(3)], moved


def same(a, b):
    """Whether two models (or state dicts) are equal bit for bit."""
    a, b = (m.state_dict() if isinstance(m, nn.Module) else m for m in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def distance(a, b):
    """Largest difference of any parameter of two models."""
    b = dict(b.named_parameters())
    return max((p - b[n]).abs().max().item() for n, p in a.named_parameters())


def assert_close(model, other, rtol=1e-5, atol=1e-6):
    theirs = dict(other.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.detach(), theirs[name].detach(), rtol=rtol, atol=atol, msg=name
        )


def accuracy(model, part, label=0):
    x, y = part
    with torch.no_grad():
        return (avalanche_forward(model, x, label).argmax(dim=1) == y).double().mean().item()


def slow_fisher(model, names, x, y, estimator="exact", label=0, drawn=None):
    """Return the diagonal Fisher information by one backward pass a sample and class.

    ``drawn`` are the labels that the Monte-Carlo estimate has drawn.
    """
    model = copy.deepcopy(model).eval()
    own = dict(model.named_parameters())
    chosen = [own[name].requires_grad_() for name in names]
    totals = [torch.zeros_like(p) for p in chosen]
    for n in range(len(x)):
        log_p = avalanche_forward(model, x[n : n + 1], label).log_softmax(dim=-1)[0]
        for c in range(len(log_p)):
            if estimator == "exact":
                weight = log_p[c].exp().item()
            else:
                weight = float((y if drawn is None else drawn)[n] == c)
            if weight > 0:
                gradients = torch.autograd.grad(
                    log_p[c], chosen, retain_graph=True, allow_unused=True
                )
                for total, gradient in zip(totals, gradients, strict=True):
                    if gradient is not None:
                        total += weight * gradient**2
    return {name: total.detach() / len(x) for name, total in zip(names, totals, strict=True)}


def replay(
    model,
    batches,
    *,
    optimizer="sgd",
    extra_loss=None,
    after_step=None,
    after_model=None,
    on_gradients=None,
):
    """Train a copy of a model by a plain loop on recorded batches; return the copy.

    The references that the plugins are compared with hook in here: a term of the loss
    (followed by autograd), a step after the optimizer's, and what happens after a model.
    """
    model = copy.deepcopy(model)
    parameters = dict(model.named_parameters())
    make = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
    for i, recorded in enumerate(batches):
        step = make(model.parameters())
        for x, y in recorded:
            step.zero_grad()
            loss = cross_entropy(avalanche_forward(model, x, i), y)
            loss.backward()
            used = {name: p for name, p in parameters.items() if p.grad is not None}
            if on_gradients:
                on_gradients(i, used)
            if extra_loss:
                term = extra_loss(i, used)
                if term is not None:
                    term.backward()
            before = {name: p.detach().clone() for name, p in used.items()}
            step.step()
            if after_step:
                with torch.no_grad():
                    after_step(i, used, before, step)
        if after_model:
            after_model(i, model, {name: p for name, p in parameters.items() if name in used})
    return model


class Quadratics:
    """The slow form of a penalty: every quadratic by itself, for autograd to follow."""

    def __init__(self, strength):
        self.strength = strength
        self.terms = defaultdict(list)  # name -> [(importance, anchor)]

    def loss(self, _, used):
        terms = [
            (importance * (parameter - anchor) ** 2).sum()
            for name, parameter in used.items()
            for importance, anchor in self.terms[name]
        ]
        return self.strength / 2 * sum(terms) if terms else None

    def proximal(self, _, used, __, optimizer):
        """The closed form of the proximal step, for one quadratic a parameter."""
        self._step(used, lambda parameter: step_size(optimizer, parameter))

    def decoupled(self, _, used, __, optimizer):
        """The same with the learning rate for the optimizer's step."""
        self._step(used, lambda parameter: group_of(optimizer, parameter)["lr"])

    def _step(self, used, size):
        for name, parameter in used.items():
            for importance, anchor in self.terms[name]:
                c = size(parameter) * self.strength * importance
                parameter.copy_((parameter + c * anchor) / (1 + c))


def group_of(optimizer, parameter):
    return next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))


def step_size(optimizer, parameter):
    """How far an optimizer moves a parameter for a unit of steady gradient, by its definition."""
    group, state = group_of(optimizer, parameter), optimizer.state[parameter]
    rate = float(group["lr"])
    if "betas" in group:
        unbiased = state["exp_avg_sq"] / (1 - group["betas"][1] ** int(state["step"]))
        return rate / (unbiased.sqrt() + group["eps"])
    if "square_avg" in state:
        variance = state["square_avg"]
        if group["centered"]:
            variance = variance - state["grad_avg"] ** 2
        rate = rate / (variance.sqrt() + group["eps"])
    return rate / (1 - group["momentum"])


class Alternating(nn.Module):
    """Uses one branch in even training steps and the other in odd ones."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.even, self.odd = nn.Linear(FEATURES, CLASSES), nn.Linear(FEATURES, CLASSES)
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        return (self.odd if self.calls % 2 else self.even)(x)
