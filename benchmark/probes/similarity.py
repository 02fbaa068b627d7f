"""How similar the outputs of a model's shared blocks stay after its training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from palimpsest.benchmark.data.formats.pixels import Inputs
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.probes.base.probe import Probe

SAMPLES = 1000
"""The largest number of test samples per model that the blocks are compared on."""


class Similarity(Probe):
    """Linear CKA of each shared block's output on an earlier model's test inputs.

    It compares the outputs right after model j was trained with those at the end of each later
    model's training, on the same inputs: at most ``SAMPLES``, a fixed random choice. A row for
    each later model (``trained``), earlier ``model`` j and block: ``cka`` from 0 (nothing in
    common) to 1 (the same up to a rotation and a scale). Blocks that any other model also uses
    count as shared, whether or not the later model uses them.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._learned: dict[tuple[int, str], Tensor] = {}
        self._inputs = [_choose(e.dataset.samples[0]) for e in self.subject.scenario.test]

    def absent(self) -> str | None:
        """Return a reason if models are not trained in turn, or nothing is shared."""
        if self.subject.unordered:
            return f"{self.subject.unordered}: there is no before and after"
        if not any(self.subject.shared(i) for i in range(len(self.subject.paths) - 1)):
            return "no model shares parameters with another"
        return None

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Compare all models so far with their state right after their own training."""
        trained = strategy.experience.current_experience

        def see(model: int, bank: ModelBank) -> None:
            outputs = block_outputs(bank, self.subject.paths[model], self._inputs[model])
            for block in self.subject.shared(model):
                output = centred(outputs[block])
                if model == trained:
                    self._learned[model, block] = output
                else:
                    cka = linear_cka(self._learned[model, block], output)
                    row = {"trained": trained, "model": model, "block": block, "cka": cka}
                    self.rows.append(row)

        self.subject.look(strategy, range(trained + 1), see)


def linear_cka(x: Tensor, y: Tensor) -> float | None:
    """Return linear centred kernel alignment, ``|Y'X|^2 / (|X'X| |Y'Y|)``, Frobenius norms.

    Invariant to rotating or scaling X or Y. If there are more features than samples, the same
    number is computed from the kernel matrices: ``|Y'X|^2 = sum (XX' * YY')``.
    Source: Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019,
    section 3, with linear kernels.

    Args:
        x: Features (n, p), each with mean 0 over the n samples.
        y: Features (n, q) of the same samples, likewise.

    Returns:
        From 0 to 1; ``None`` if x or y is constant.
    """
    x, y = (features / features.norm().clamp_min(1e-30) for features in (x, y))
    if max(x.shape[1], y.shape[1]) > len(x):
        x, y = x @ x.T, y @ y.T
        common, scale = (x * y).sum(), x.norm() * y.norm()
    else:
        common, scale = (y.T @ x).square().sum(), (x.T @ x).norm() * (y.T @ y).norm()
    return min(1.0, float(common / scale)) if float(scale) > 0 else None


def centred(features: Tensor) -> Tensor:
    """Return features (n, ...) as (n, p), each with mean 0 over the samples."""
    flat = features.flatten(1)
    return flat - flat.mean(dim=0)


def block_outputs(bank: ModelBank, path: Sequence[str], x: Tensor) -> dict[str, Tensor]:
    """Return the output of each block of a model, by name, for inputs (N, C, H, W)."""
    outputs = {}
    for name in path:
        x = outputs[name] = bank.blocks[name](x)
    return outputs


def _choose(x: Inputs) -> Tensor:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order[:SAMPLES].to(x.device)]
