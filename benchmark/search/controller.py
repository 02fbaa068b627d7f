"""A recurrent network that draws architectures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_RANGE = 0.1
"""Weights begin between minus and plus this; the biases of the outputs are zero."""


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
        """Take the decisions of some architectures, or say how likely given ones are.

        Args:
            choices: The options taken, int64 (count, decisions); ``None``: they are drawn.
            count: How many architectures.
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
