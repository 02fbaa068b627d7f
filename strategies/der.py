"""Dark experience replay."""

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

from palimpsest.strategies.base.facts import MEMORY, Facts, Needs
from palimpsest.strategies.base.hooks import Task
from palimpsest.strategies.base.likelihood import loss_in, loss_of, require_cross_entropy
from palimpsest.strategies.base.settings import NonNegative
from palimpsest.strategies.memory.rehearsal import MemorySettings, Rehearsal, outputs_for


class DERSettings(MemorySettings):
    """Settings of dark experience replay."""

    alpha: NonNegative = Field(
        0.1,
        description="Weight of the mean squared distance from the stored logits. The authors' "
        "values go from 0.1 (split CIFAR-10) to 1 (permuted MNIST). At large learning rates large "
        "ones diverge.",
    )
    beta: NonNegative = Field(
        1.0,
        description="Weight of the cross-entropy of stored samples. The authors take 0.5 or 1. 0 "
        "is DER, without labels.",
    )


class DER(Rehearsal):
    """Hold stored samples to the logits that they had, and to their labels (DER++).

    Two batches are drawn from the memory in every step, of M samples each, and add to the loss::

        alpha * 1/M sum_m 1/C ||f_k(m)(x_m) - z_m||^2
        + beta * 1/M sum_m cross_entropy(f_k(m)(x_m), y_m)

    Here k(m) is the model that sample m was stored for, its task label, and z_m are the C logits
    that it had when it was stored: in training mode, in the step in which it was trained on, as it
    was augmented there. Then the batch is offered to the memory, a reservoir of ``memory`` samples
    over everything trained on so far. The square is divided by the number of classes, as in the
    authors' program, for which the published values of alpha are. Each memory batch passes through
    the network by itself, in training mode.

    Logits of classes that a head has grown since then, and those that Avalanche's heads mask, are
    not held. Where the training's loss leaves out the outputs of later classes (``outputs: seen``),
    so do both terms; the authors' program trains all outputs from the start.

    The earlier models' private parameters are trained along, so they do move. With ``memory: 0``,
    or alpha and beta both 0, it is fine-tuning bit for bit; with beta 0 it is DER.

    This is a reference, since it stores data. Avalanche's DER fails all properties of the kit that
    apply, because it calls a model bank without task labels; it also stores logits only after a
    training, draws one batch for both terms, and uses no memory until that fills a batch.

    Source: Buzzega et al., Dark Experience for General Continual Learning: a Strong, Simple
    Baseline, NeurIPS 2020, equation 6 and algorithm 2.

    Limits:
        As for ``replay``; with its two passes more a step takes up to 5 times as long. Logits that
        were stored early in a training are those of a bad model, and hold it back: with few steps
        per model, alpha must be small. The two terms come on top of the loss, so that a step is
        longer than one of fine-tuning, and large learning rates diverge sooner.
    """

    facts = Facts(
        name="der",
        summary="dark experience replay (DER++): hold stored samples to their logits and labels",
        source="Buzzega et al., NeurIPS 2020, equation 6",
        dial=MEMORY,
        stores=True,
        moves_unused=True,
        needs_its_model=True,
        needs=Needs(classes="der"),
    )
    Settings = DERSettings
    settings: DERSettings

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse another loss than cross-entropy, and inputs of several kinds."""
        super().check_network(model, task)
        require_cross_entropy(task.loss, type(self).__name__)

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look at the loss.

        Raises:
            ValueError: It is not cross-entropy.
        """
        require_cross_entropy(loss_in(strategy), type(self).__name__)

    def before_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add both terms, and offer the batch to the memory.

        Raises:
            ValueError: Its inputs are of another kind than those in the memory.
        """
        alpha, beta = self.settings.alpha, self.settings.beta
        if not self.settings.memory or alpha == beta == 0:
            return
        logits = _real(strategy.model, strategy.mb_output.detach())
        if alpha and (rows := self.recall(strategy)):
            found = outputs_for(strategy, rows)
            strategy.loss = strategy.loss + alpha * _distance(found, rows["logits"])
        if beta and (rows := self.recall(strategy)):
            found = outputs_for(strategy, rows)
            loss = loss_of(strategy, found, rows["y"], rows["label"])
            strategy.loss = strategy.loss + beta * loss
        self.remember(strategy, **({"logits": self._as_wide(logits)} if alpha else {}))

    def _as_wide(self, logits: Tensor) -> Tensor:
        """Return logits as wide as those in the memory; the narrower ones end in NaN."""
        held = self.memory.rows.get("logits")
        if held is None:
            return logits
        width = max(held.shape[-1], logits.shape[-1])
        self.memory.rows["logits"] = _widened(held, width)
        return _widened(logits, width)


def _distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean over samples of the mean square over the logits that were known, not NaN."""
    width = max(found.shape[-1], wanted.shape[-1])
    found, wanted = _widened(found, width, 0.0), _widened(wanted, width)
    known = ~wanted.isnan()
    gaps = torch.where(known, found - wanted, 0.0)
    return (gaps.square().sum(dim=-1) / known.sum(dim=-1)).mean()


def _widened(logits: Tensor, width: int, value: float = math.nan) -> Tensor:
    missing = width - logits.shape[-1]
    return pad(logits, (0, missing), value=value) if missing else logits


def _real(model: nn.Module, logits: Tensor) -> Tensor:
    """Return logits with NaN for those that a head of Avalanche's masks: it never saw the class."""
    for module in model.modules():
        value = getattr(module, "mask_value", None)
        if value is not None and getattr(module, "masking", False):
            logits = torch.where(logits == value, math.nan, logits)
    return logits
