"""A recurrent network that draws architectures, and learns by REINFORCE what does well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.search.samplers import Controlled
from palimpsest.benchmark.search.supernet_bank import SupernetBank
from palimpsest.benchmark.search.supernets.supernet import Architecture
from palimpsest.strategies.base.network import evaluation_mode

_RANGE = 0.1
"""Initial weights are between minus and plus this; the biases of the outputs are zero."""


class Controller(nn.Module):
    """An LSTM that takes one decision after another, each given those before it.

    Its first input is zero, then the embedding of the option taken last; options of different
    decisions have embeddings of their own. The logits of decision k are ``c tanh(W_k h / T)``, so
    that none is larger than c.

    Source: Pham et al., Efficient neural architecture search via parameter sharing, ICML 2018.

    Args:
        options: How many options each decision has.
        hidden: Units of the LSTM.
        temperature: T.
        tanh: c.
        generator: Draws the initial weights.
    """

    def __init__(
        self,
        options: Sequence[int],
        *,
        hidden: int,
        temperature: float,
        tanh: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._temperature = temperature
        self._tanh = tanh
        self._offsets = [sum(options[:k]) for k in range(len(options))]
        self.embedding = nn.Embedding(sum(options), hidden)
        self.cell = nn.LSTMCell(hidden, hidden)
        self.heads = nn.ModuleList(nn.Linear(hidden, count) for count in options)
        for name, parameter in self.named_parameters():
            if name.startswith("heads") and name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -_RANGE, _RANGE, generator=generator)

    def forward(
        self, choices: Tensor | None, count: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw some architectures, or return the probabilities of given ones.

        Args:
            choices: The options taken, int64 (count, decisions); ``None``: they are drawn.
            count: The number of architectures.
            generator: Draws them.

        Returns:
            The options taken (count, decisions); the logarithm of the probability of each, and the
            entropy of each decision in nats, likewise.
        """
        x = h = c = self.embedding.weight.new_zeros(count, self.embedding.embedding_dim)
        taken, logarithms, entropies = [], [], []
        for k, head in enumerate(self.heads):
            h, c = self.cell(x, (h, c))
            logits = self._tanh * torch.tanh(head(h) / self._temperature)
            log_p = logits.log_softmax(dim=1)
            if choices is None:
                option = torch.multinomial(log_p.detach().exp(), 1, generator=generator)
            else:
                option = choices[:, k : k + 1]
            taken.append(option)
            logarithms.append(log_p.gather(1, option))
            entropies.append(-(log_p.exp() * log_p).sum(dim=1, keepdim=True))
            x = self.embedding(option[:, 0] + self._offsets[k])
        return torch.cat(taken, 1), torch.cat(logarithms, 1), torch.cat(entropies, 1)


class Reward:
    """``c * accuracy`` or ``c / perplexity`` on a batch of validation data.

    Args:
        x: Inputs of the validation data (N, ...).
        y: Targets (N, ...).
        batch: Samples of a reward's batch.
        scale: c.
        columns: Of text: the windows of a batch, which is one of those of the validation text, and
            begins with a state of zero. ``None``: a batch is a random choice, and the reward is c *
            accuracy.
    """

    def __init__(self, x: Any, y: Tensor, batch: int, scale: float, columns: int | None) -> None:
        self._data = (x, y)
        self._batch = min(batch, len(y))
        self._scale = scale
        self._columns = columns

    @torch.no_grad()
    def __call__(
        self, bank: SupernetBank, architecture: Architecture, generator: torch.Generator
    ) -> float:
        """Return the reward of an architecture; a generator draws the batch."""
        x, y = self._data
        chosen = self._chosen(len(y), generator).to(y.device)
        outputs, targets = bank.run(x[chosen], architecture), y[chosen]
        if self._columns is None:
            return self._scale * float((outputs.argmax(dim=-1) == targets).double().mean())
        loss = functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())
        return self._scale / float(loss.double().exp())

    def _chosen(self, count: int, generator: torch.Generator) -> Tensor:
        if self._columns is None:
            return torch.randperm(count, generator=generator)[: self._batch]
        batch = int(torch.randint(count // self._columns, (1,), generator=generator))
        return torch.arange(batch * self._columns, (batch + 1) * self._columns)


class Policy:
    """Draws architectures with a controller, which learns from their rewards.

    With the rewards R of n architectures a, the decisions' entropies H and the moving mean reward
    b, a step of Adam follows the gradient of ``-1/n sum_a (R(a) - b) log p(a) - w/n sum_a H(a)``;
    afterwards ``b <- d b + (1 - d) mean R``. b begins as the first mean reward, and is kept from
    epoch to epoch. In the code of Benyahia et al. b has taken R in before it is subtracted, and
    begins anew in every epoch.

    Source: Williams, Simple statistical gradient-following algorithms, Machine Learning 1992; Pham
    et al., Efficient neural architecture search via parameter sharing, ICML 2018.

    Args:
        options: The number of options of each decision.
        settings: Of the controller.
        reward: The reward of an architecture on a batch of validation data.
        seed: The run's seed.

    Attributes:
        rewards: The mean reward of each step so far.
    """

    def __init__(
        self,
        options: Sequence[int],
        settings: Controlled,
        reward: Reward,
        seed: int,
    ) -> None:
        self.settings = settings
        self._reward = reward
        self._generator = torch.Generator().manual_seed(derive(seed, "controller"))
        self.controller = Controller(
            options,
            hidden=settings.hidden,
            temperature=settings.temperature,
            tanh=settings.tanh,
            generator=self._generator,
        )
        self._optimizer = torch.optim.Adam(self.controller.parameters(), lr=settings.learning_rate)
        self._baseline: float | None = None
        self.rewards: list[float] = []

    def draw(self, count: int) -> list[Architecture]:
        """Draw some architectures."""
        with torch.no_grad():
            chosen, _, _ = self.controller(None, count, self._generator)
        return _architectures(chosen)

    @torch.no_grad()
    def probability(self, architecture: Architecture) -> float:
        """Return the probability that the controller draws an architecture."""
        _, log_p, _ = self.controller(torch.tensor([architecture]), 1)
        return float(log_p.double().sum().exp())

    def learn(self, bank: SupernetBank) -> None:
        """Take the steps that follow an epoch."""
        with evaluation_mode(bank):
            for _ in range(self.settings.steps):
                self.step(lambda architecture: self._reward(bank, architecture, self._generator))

    def step(self, reward: Callable[[Architecture], float]) -> None:
        """Take one step of the controller."""
        settings = self.settings
        with torch.enable_grad():
            chosen, log_p, entropy = self.controller(None, settings.architectures, self._generator)
            rewards = torch.tensor(
                [reward(each) for each in _architectures(chosen)], dtype=torch.float64
            )
            mean = float(rewards.mean())
            baseline = mean if self._baseline is None else self._baseline
            gains = (rewards - baseline) * log_p.sum(dim=1)
            loss = -gains.mean() - settings.entropy * entropy.sum(dim=1).mean()
            self._optimizer.zero_grad()
            loss.backward()
        self._optimizer.step()
        self._baseline = settings.baseline * baseline + (1 - settings.baseline) * mean
        self.rewards.append(mean)


def _architectures(chosen: Tensor) -> list[Architecture]:
    return [tuple(row) for row in chosen.tolist()]
