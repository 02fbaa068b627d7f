"""The accuracy that an earlier model could have if its private parts fitted the shared ones."""

from __future__ import annotations

from copy import deepcopy
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from palimpsest.benchmark.data.formats.pixels import Inputs
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.probes.base.probe import Probe
from palimpsest.benchmark.randomness.generators import own_numbers
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.training.template import EVALUATION_BATCH, Batches

STEPS, BATCH, LEARNING_RATE, SAMPLES = 500, 128, 1e-3, 10_000
"""The budget, the same for every run: Adam's steps, batch size and learning rate, and the largest
number of a model's training samples used (a fixed random choice)."""


class Refit(Probe):
    """At the end, each earlier model with its private parts refitted to the shared ones.

    The private parts start from their current values and are trained on the model's own training
    data, with its shared blocks frozen as they are at the end. A row per ``model``: test accuracy
    ``before`` and ``after``. Where ``after`` is far above ``before``, the shared blocks
    can serve the model and only its private parts are outdated; where it stays low, the
    representation is lost.

    A strategy that shares nothing is the control: do the blocks serve the model because they still
    hold what it learned, or is any training on such data enough? There each model has its own
    network. It is fitted to the blocks of the latest network that has all of them, which started
    from the same initial weights and never saw the model. Models without such a later network have
    no row.
    """

    def absent(self) -> str | None:
        """Return a reason if there is no model to fit."""
        earlier = range(len(self.subject.paths) - 1)
        if not any(self._private(i) for i in earlier):
            return "no earlier model has private parts: all that it uses is shared"
        if not any(self._private(i) and self._donor(i) is not None for i in earlier):
            return "no other model has all blocks that an earlier one shares"
        return None

    def finish(self, strategy: Any) -> None:
        """Refit copies of the earlier models."""
        everyone = range(len(self.subject.paths))
        copies: dict[int, nn.ModuleDict] = {}

        def see(model: int, bank: ModelBank) -> None:
            path = self.subject.paths[model]
            copies[model] = nn.ModuleDict({name: deepcopy(bank.blocks[name]) for name in path})

        self.subject.look(strategy, everyone, see)
        with own_numbers(strategy.device, derive(self.subject.seed, "refit")):  # for dropout
            for model in everyone[:-1]:
                donor = self._donor(model)
                if not self._private(model) or donor is None:
                    continue
                test = self.subject.scenario.test[model].dataset.samples[:2]
                network = copies[model]
                before = self._accuracy(network, *test)
                for block in self.subject.shared(model):
                    network[block] = deepcopy(copies[donor][block])
                self._fit(model, network)
                after = self._accuracy(network, *test)
                self.rows.append({"model": model, "before": before, "after": after})

    def _donor(self, model: int) -> int | None:
        """Return the model whose shared blocks a model is fitted to: itself, if it shares any."""
        if self.subject.facts.role != "alone":
            return model
        paths, blocks = self.subject.paths, {*self.subject.shared(model)}
        later = [i for i in range(model + 1, len(paths)) if blocks <= {*paths[i]}]
        return max(later, default=None)

    def _private(self, model: int) -> set[str]:
        return set(self.subject.paths[model]) - set(self.subject.shared(model))

    def _fit(self, model: int, network: nn.ModuleDict) -> None:
        """Train the private blocks; the outputs of leading frozen blocks are computed once."""
        private = self._private(model)
        leading = list(takewhile(lambda name: name not in private, network))
        frozen = nn.Sequential(*(network[name] for name in leading))
        rest = nn.Sequential(*(block for name, block in network.items() if name not in leading))
        for name, block in network.items():
            block.requires_grad_(name in private).train(name in private)
        x, y, _ = self.subject.scenario.train[model].dataset.samples
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        chosen = order[:SAMPLES].to(x.device)
        features = _outputs(frozen, x[chosen])
        optimizer = torch.optim.Adam(
            [p for p in network.parameters() if p.requires_grad], lr=LEARNING_RATE
        )
        seed = derive(self.subject.seed, "refit", model)
        for inputs, targets, _ in Batches((features, y[chosen], 0), BATCH, STEPS, seed):
            optimizer.zero_grad()
            loss = self.subject.scenario.loss(rest(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        network.eval()

    def _accuracy(self, network: nn.ModuleDict, x: Inputs, y: Tensor) -> float:
        found = self.subject.scenario.right(_outputs(nn.Sequential(*network.values()), x), y)
        return int(found.sum()) / found.numel()


@torch.no_grad()
def _outputs(network: nn.Module, x: Inputs) -> Tensor:
    """Return a network's outputs, computed a batch at a time."""
    return torch.cat(
        [network(x[i : i + EVALUATION_BATCH]) for i in range(0, len(x), EVALUATION_BATCH)]
    )
