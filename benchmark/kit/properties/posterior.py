"""A posterior leaves no trace, changes only with its own model, and is evaluated by its mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from palimpsest.benchmark.kit.candidate import Candidate
from palimpsest.benchmark.kit.models import CLASSES, FEATURES, HIDDEN, bank, data, hidden
from palimpsest.benchmark.kit.program import WITH_MOMENTS, Program, behind, optimizers_of, program
from palimpsest.benchmark.kit.properties.hooks import differences, looks
from palimpsest.benchmark.kit.properties.strength import telling_or_default
from palimpsest.benchmark.kit.property import BrokenError, NotApplicableError, must_hold
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.strategies.base.hooks import Samples


def _require(candidate: Candidate) -> None:
    if not candidate.has(Samples):
        raise NotApplicableError("it has no hook sampled, and so no posterior")


def _apart() -> ModelBank:
    """Return two models that share nothing, the blocks of the first before the second's."""
    torch.manual_seed(0)
    blocks: dict[str, nn.Module] = {}
    for name in "ab":
        blocks |= {f"hidden_{name}": hidden(FEATURES), f"head_{name}": nn.Linear(HIDDEN, CLASSES)}
    return ModelBank(blocks, [("hidden_a", "head_a"), ("hidden_b", "head_b")], CLASSES)


def _drawn(trained: Program, model: int, seed: int) -> Tensor:
    """Return the outputs (N, C) of a model with weights of one draw."""
    network, generator = trained.model.eval(), torch.Generator().manual_seed(seed)
    with trained.plugin.sampled(network, model, generator):
        return _outputs(network, model)


@torch.no_grad()
def _outputs(network: nn.Module, model: int) -> Tensor:
    """Return the outputs (N, C) of a model."""
    x, _ = data(1)[0]
    outputs: Tensor = network(x, model)
    return outputs


@must_hold(
    "unused posteriors stay",
    "A posterior of which the current model uses nothing keeps its means and its variances, "
    "with momentum, Adam, weight decay and an optimizer that is kept.",
    "The divergence from earlier posteriors is taken over all parameters, and pulls also those "
    "that the current model does not use; let it act only where grad is not None.",
)
def _unused_keep(candidate: Candidate) -> str:
    _require(candidate)
    value = telling_or_default(candidate)
    for optimizer in optimizers_of(candidate, WITH_MOMENTS):
        trained = program(candidate, _apart(), value=value, optimizer=optimizer, models=2)
        trained.run([0], reset=False)
        before = [_drawn(trained, 0, seed) for seed in range(3)]
        trained.run([1], reset=False)
        for seed, outputs in enumerate(before):
            gap = (_drawn(trained, 0, seed) - outputs).abs().max().item()
            if gap > 0:
                raise BrokenError(
                    f"{optimizer}: the same draw of model 1, which shares nothing with model 2, "
                    f"puts out something else by {gap:.2g} once that has been trained"
                )
    return f"the same draws, bit for bit, behind {behind(candidate, WITH_MOMENTS)}"


@must_hold(
    "drawn weights are put back",
    "After the context of sampled the network is as it was before, and what is drawn depends "
    "on the given generator alone.",
    "The context does not put back what it changes, draws from the global generator, or "
    "changes weights that are not those in force.",
)
def _put_back(candidate: Candidate) -> str:
    _require(candidate)
    trained = program(candidate, bank(), value=telling_or_default(candidate))
    told = 0

    def draw(model: int) -> None:
        nonlocal told
        network = trained.model.eval()
        before, mean, state = looks(network), _outputs(network, model), torch.get_rng_state()
        outputs = [_drawn(trained, model, seed) for seed in (1, 2, 1)]
        left = differences(network, before)
        if left:
            raise BrokenError(f"after a draw it leaves {left}")
        if not torch.equal(_outputs(network, model), mean):
            raise BrokenError("after a draw the network puts out something else")
        if not torch.equal(state, torch.get_rng_state()):
            raise BrokenError("it draws from the global generator, not from the one it is given")
        if not torch.equal(outputs[0], outputs[2]):
            raise BrokenError("two generators with equal states give other weights")
        told += not torch.equal(outputs[0], outputs[1])
        network.train()

    trained.run(after_each=draw)
    if not told:
        raise BrokenError("all draws are the same: the weights that it draws are not in force")
    return "after each of three trainings; draws differ, and are those of their generators"


@must_hold(
    "evaluation does not draw",
    "Two evaluations of a model with a posterior are the same, bit for bit.",
    "Weights are drawn whenever the network is called, not in the steps of training alone.",
)
def _mean(candidate: Candidate) -> str:
    _require(candidate)
    trained = program(candidate, bank(), value=telling_or_default(candidate))

    def look(model: int) -> None:
        first, second = (trained.evaluated().outputs for _ in range(2))
        gaps = [(first[name] - second[name]).abs().max().item() for name in first]
        if max(gaps) > 0:
            raise BrokenError(
                f"two evaluations after model {model + 1} differ by up to {max(gaps):.2g}"
            )

    trained.run(after_each=look)
    return "two evaluations are the same, bit for bit, after each of three trainings"
