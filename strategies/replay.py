"""Experience replay."""

from typing import Any

import torch

from palimpsest.strategies.base.facts import MEMORY, Facts
from palimpsest.strategies.memory.rehearsal import Rehearsal, joined, task_labels


class Replay(Rehearsal):
    """Train on stored samples of all models along with each batch of the current one (ER).

    Every step draws M samples from the memory, adds them to the batch of N samples, and minimises
    the training's own loss l on both::

        1/(N + M) * ( sum_n l(f(x_n), y_n) + sum_m l(f_k(m)(x_m), y_m) )

    where k(m) is the model that sample m was stored for, its task label. Then the batch is offered
    to the memory, a reservoir of ``memory`` samples over everything trained on so far: each
    presentation of a sample is equally likely to be in it, and the current model's are there, too.
    Both pass through the network in training mode: as one batch, so that batch normalisation sees
    both, or with a head for each model the samples of each model by themselves. Any loss that is a
    mean over samples will do.

    The earlier models' private parameters are trained along, as the paper trains all heads, so they
    do move. With ``memory: 0`` it is fine-tuning bit for bit.

    This is a reference, since it stores data. Avalanche's Replay passes the kit but for what its
    loaders draw; it is not used here because it has quotas for experiences in place of a reservoir,
    fills them only after a training, augments stored samples as if they were the current model's,
    keeps all data sets alive through its subsets, and cannot be saved in a checkpoint.

    Source: Chaudhry et al., On Tiny Episodic Memories in Continual Learning, 2019, algorithms 1 and
    2; Rolnick et al., Experience Replay for Continual Learning, NeurIPS 2019.

    Limits:
        It stores data: a reference for what samples of earlier models are worth, and the report
        says so under the caveats. Few samples are repeated often, and overfitted. The memory counts
        presentations, so that a model with more steps, or more visits, has more of it. A step takes
        about twice as long (2.4 times on a network of two small layers). The first model is
        trained with its own samples repeated, so it is not the first model of fine-tuning. All
        models must take the same kind of inputs.
    """

    facts = Facts(
        name="replay",
        summary="experience replay: train on stored samples of earlier models, too",
        source="Chaudhry et al., On Tiny Episodic Memories, 2019; Rolnick et al., NeurIPS 2019",
        dial=MEMORY,
        stores=True,
        moves_unused=True,
        needs_its_model=True,
    )

    def before_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add stored samples to the batch, and offer the batch to the memory.

        Raises:
            ValueError: Its inputs are of another kind than those in the memory.
        """
        if not self.settings.memory:
            return
        (x, y, *task), labels = strategy.mbatch, task_labels(strategy)
        drawn = self.recall(strategy, labels)
        self.remember(strategy)
        if drawn:
            both = [joined(labels, len(y), drawn["label"], y.device)] if task else []
            strategy.mbatch = [torch.cat([x, drawn["x"]]), torch.cat([y, drawn["y"]]), *both]
