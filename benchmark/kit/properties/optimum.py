"""Where a penalty comes to rest: at the minimum of loss + penalty, behind every optimizer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import CLASSES, FEATURES
from palimpsest.benchmark.kit.program import MakeOptimizer, streams
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold
from palimpsest.benchmark.training.evaluation import LOADER
from palimpsest.benchmark.training.template import InMemoryTraining
from palimpsest.strategies.base.hooks import Optimizes

_OPTIMIZERS: dict[str, MakeOptimizer] = {
    "SGD": partial(optim.SGD, lr=2.0),
    "SGD with momentum": partial(optim.SGD, lr=0.2, momentum=0.9),
    "SGD with Nesterov's momentum": partial(optim.SGD, lr=0.2, momentum=0.9, nesterov=True),
    "Adam": partial(optim.Adam, lr=0.1),
    "AdamW": partial(optim.AdamW, lr=0.1, weight_decay=0.0),
    "RMSprop": partial(optim.RMSprop, lr=0.05),
    "RMSprop with momentum": partial(optim.RMSprop, lr=0.05, momentum=0.5),
}
_STRENGTHS = [10.0**power for power in range(-4, 7)]
_SAMPLES, _FIRST_STEPS, _STEPS, _DECAY = 120, 60, 300, 0.97
_TOLERANCE = 5e-3


class _Decay:
    """The part of an Avalanche plugin that decays the learning rate."""

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        for group in strategy.optimizer.param_groups:
            group["lr"] *= _DECAY


def _data() -> list[tuple[Tensor, Tensor]]:
    """Return two linear problems whose labels are noisy, so that each has a minimum."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for _ in range(2):
        x = torch.randn(_SAMPLES, FEATURES, generator=generator)
        rule = 0.5 * torch.randn(FEATURES, CLASSES, generator=generator)
        p = (x @ rule).softmax(dim=1)
        parts.append((x, torch.multinomial(p, 1, generator=generator)[:, 0]))
    return parts


def _after_the_first(candidate: Candidate, strength: float) -> tuple[Any, Any]:
    """Train a linear model on the first problem, all samples at once.

    Returns:
        The Avalanche strategy, and the plugin under test.
    """
    torch.manual_seed(0)
    model = nn.Linear(FEATURES, CLASSES)
    plugin = candidate.make_plugin(strength)
    strategy = InMemoryTraining(
        model=model,
        optimizer=optim.SGD(model.parameters(), lr=2.0),
        batch_size=_SAMPLES,
        steps=[_FIRST_STEPS, _STEPS],
        order_seeds=[0, 1],
        device="cpu",
        plugins=[plugin, _Decay()],
    )
    _train(strategy, 0)
    if {name for name, _ in strategy.model.named_parameters()} != {"weight", "bias"}:
        raise NotApplicableError("it gives the model other parameters")
    return strategy, plugin


def _train(strategy: Any, problem: int) -> None:
    experience = streams(_data(), [0, 0])[0][problem]
    strategy.train(experience, eval_streams=[], reset_optimizer_state=True, **LOADER)


def _minimum(model: nn.Linear, penalty: Callable[[], Tensor]) -> Tensor:
    """Return the weights where the second problem's loss + penalty is smallest, by L-BFGS."""
    x, y = _data()[1]
    search = optim.LBFGS(
        model.parameters(),
        max_iter=200,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        search.zero_grad()
        total = cross_entropy(model(x), y) + penalty()
        total.backward()  # type: ignore[no-untyped-call]
        return total.item()

    search.step(closure)  # type: ignore[no-untyped-call]
    return _flat(model)


def _flat(model: nn.Linear) -> Tensor:
    """Return the weights without what adds the same to all logits and changes no probability."""
    found = torch.cat([model.weight, model.bias[:, None]], dim=1).detach().double()
    return (found - found.mean(dim=0)).flatten()


def _half_way(candidate: Candidate) -> tuple[float, Tensor, Tensor]:
    """Return a strength whose minimum is about half way to the one without a penalty.

    Also that minimum and the first model's weights.
    """
    strategy, plugin = _after_the_first(candidate, 1.0)
    model = strategy.model
    state = {name: value.clone() for name, value in model.state_dict().items()}
    first = _flat(model)
    free = (_minimum(model, lambda: torch.zeros(())) - first).norm()
    for strength in _STRENGTHS:
        model.load_state_dict(state)
        # Bound now: the next pass has another strength.
        found = _minimum(model, lambda s=strength: s * plugin.penalty(model))  # type: ignore[misc]
        if (found - first).norm() < 0.6 * free:
            return strength, found, first
    sgd = _OPTIMIZERS["SGD"]
    without, with_most = (_end(candidate, strength, sgd) for strength in (0.0, _STRENGTHS[-1]))
    if (with_most - without).norm() > _TOLERANCE * free:
        raise BrokenError(
            f"penalty(model) tells of no effect up to strength {_STRENGTHS[-1]:g}, but training "
            "has one: it is not what is applied"
        )
    raise NotApplicableError("no strength has an effect on a linear model")


def _end(candidate: Candidate, strength: float, make: MakeOptimizer) -> Tensor:
    """Return where the training of both models ends, the second behind an optimizer."""
    strategy, _ = _after_the_first(candidate, strength)
    strategy.optimizer = make(strategy.model.parameters())
    _train(strategy, 1)
    return _flat(strategy.model)


@must_hold(
    "rests at the minimum",
    "On a convex problem, with a learning rate that falls, training ends at the minimum of "
    "loss + penalty, whatever the optimizer: a strength means the same behind each.",
    "The penalty is scaled by the learning rate alone, where momentum and adaptive optimizers "
    "take other steps (see strategies/penalty/optimizer_metric.py).",
)
def _rests_at_the_minimum(candidate: Candidate) -> str:
    if candidate.strength is None or not hasattr(candidate.plugin, "penalty"):
        raise NotApplicableError("it has no method penalty(model) that tells what it minimises")
    if candidate.arguments.get("application") == "decoupled":
        raise NotApplicableError("it is decoupled from the optimizer's metric, as asked")
    if candidate.has(Optimizes):
        raise NotApplicableError("it has an update rule of its own")
    strength, expected, first = _half_way(candidate)
    wrong, worst = [], 0.0
    for name, make in _OPTIMIZERS.items():
        away = _end(candidate, strength, make) - expected
        gap = float(away.norm() / (expected - first).norm())
        worst = max(worst, gap)
        if not gap < _TOLERANCE:
            wrong.append(f"{name}: {gap:.2g}")
    if wrong:
        raise BrokenError(
            "distance from the minimum of loss + penalty, over its own from the earlier weights: "
            + "; ".join(wrong)
        )
    return f"within {worst:.1g} of the way, behind {len(_OPTIMIZERS)} optimizers"
