"""Novelty search for architecture search with shared weights."""

from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from palimpsest.strategies.base.architectures import Searchable, options_of, searchable
from palimpsest.strategies.base.facts import Dial, Facts
from palimpsest.strategies.base.hooks import Configured, Task
from palimpsest.strategies.base.settings import Count, Seed, Share, StrategySettings

Architecture = tuple[int, ...]


class NSASSettings(StrategySettings):
    """Settings of novelty search for architecture search."""

    epsilon: Share = Field(
        0.5,
        description="Weight of the archive's mean loss; that of the visited architecture has the "
        "rest. 0 is fine-tuning.",
    )
    archive: Count = Field(8, le=10**6, description="M: architectures in the archive.")
    recent: Count = Field(
        50, le=10**6, description="C: latest architectures among which a replacement is looked for."
    )
    candidates: Count = Field(
        10,
        le=10**6,
        description="R: random architectures of which the most novel fills a free place.",
    )
    neighbours: Count = Field(
        10,
        le=10**6,
        description="k: novelty is the mean distance from so many nearest in the archive.",
    )
    constraints: Count | None = Field(
        None,
        le=10**6,
        description="Architectures of the archive that are trained along in a step, different "
        "ones drawn at random. null: all of them, a pass each.",
    )
    along: Literal["archive", "opposites"] = Field(
        "archive",
        description="What is trained along. 'archive': its architectures. 'opposites': for each "
        "step a random architecture and one that differs from it in every decision (with epsilon: "
        "0.8 the authors' later form); there is no archive then.",
    )
    weights: Literal["equal", "similarity"] = Field(
        "equal",
        description="How the losses of these are averaged. 'similarity': each is weighted by 1 - "
        "distance from the visited one; equally if none has a choice in common with it.",
    )
    archive_loss: Literal["gradient", "constant"] = Field(
        "gradient",
        description="'constant': the loss of these is a number without a gradient, as in the "
        "published demo. What is left is training with 1 - epsilon times the gradient.",
    )
    seed: Seed = 0

    @model_validator(mode="after")
    def _has_an_archive(self) -> Self:
        for name in ("archive", "recent", "candidates", "neighbours", "constraints"):
            if self.along == "opposites" and self.differs(name):
                raise ValueError(f"{name} is for along: archive, and has no effect: remove it")
        return self


class NSAS(Configured):
    """Train a few diverse architectures of a supernet along with each that is visited (NSAS).

    With l the training's own loss, a the visited architecture and A the archive, a step minimises,
    over its batch::

        (1 - epsilon) * l(a) + epsilon * 1/|A| sum_{a' in A} l(a')

    so that learning a does not undo what the others have. ``constraints`` takes the mean over some
    of A, drawn anew in each step. Before each visit the archive changes by one architecture. Its
    novelty is ``S(c; A)``, the mean of the ``neighbours`` smallest distances from c to A:

    * while the archive is not full, the most novel of ``candidates`` random ones is added;
    * then the one nearest to a gives way to the most novel one, with respect to the others, of
      itself and the ``recent`` latest that were visited, a included.

    With ``along: opposites`` there is no archive: A is, for each step, a random architecture and
    one that differs from it in every decision that has more than one option, all such equally
    likely. With ``epsilon: 0.8`` the losses are weighted 0.2, 0.4 and 0.4, as in the authors'
    notebook ``NSAS_0.2``. With ``weights: similarity`` the mean over A is weighted by ``1 - d(a,
    a')``; the authors' code, for GDAS, multiplies these weights into each other instead.

    All models must be architectures of one supernet that learn the same data. A step takes a
    forward and a backward pass more for each constraint. All pass through the network in training
    mode, so that running statistics see them. What they use is trained, whether the visited one
    uses it or not. With ``epsilon: 0`` it is fine-tuning bit for bit.

    The authors' demo adds the archive's loss as a plain number, without a gradient: there the
    archive does nothing, and 1 - epsilon scales the learning rate (``archive_loss: constant``). It
    draws an architecture for each batch; here the archive changes with each visit. As there, the
    first architectures of the archive are random, not trained ones.

    Source: Zhang, Li, Pan, Chang & Su, Overcoming Multi-Model Forgetting in One-Shot NAS with
    Diversity Maximization, CVPR 2020, equations 7 to 9 and algorithm 1; constants from
    github.com/MiaoZhang0525/NSAS_FOR_CVPR, CNN/RandomNAS_NSAS_demo.py. The opposites: its notebooks
    for NAS-Bench-201, and One-Shot Neural Architecture Search: Maximising Diversity to Overcome
    Catastrophic Forgetting, TPAMI 2021.

    Attributes:
        archive: The architectures that are trained along.

    Limits:
        It works in architecture searches alone. A step takes 1 + ``archive`` forward and backward
        passes; ``constraints: 2`` makes that three. The earlier architectures are trained along,
        not held: it is replay of architectures. The archive begins with random ones, which nothing
        was forgotten of.
    """

    facts = Facts(
        name="nsas",
        summary="novelty search: train a few diverse architectures of a supernet along with each",
        source="Zhang et al., Overcoming Multi-Model Forgetting in One-Shot NAS, CVPR 2020",
        dial=Dial("epsilon", "epsilons", idle=0, lowest=0, highest=1),
        moves_unused=True,
        searches=True,
    )
    Settings = NSASSettings
    settings: NSASSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.archive: list[Architecture] = []
        self._recent: list[Architecture] = []
        self._visited: Architecture = ()
        self._options: tuple[int, ...] = ()
        self._generator = np.random.default_rng(self.settings.seed)

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network that is no supernet."""
        self._space(model)

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Change the archive by one architecture.

        Raises:
            NoArchitecturesError: The model is no supernet.
        """
        space = self._space(strategy.model)
        visited = self._visited = tuple(space.architecture_of(int(strategy.experience.task_label)))
        if self.settings.along == "opposites":
            return
        self._recent = [*self._recent, visited][-self.settings.recent :]
        if len(self.archive) < self.settings.archive:
            drawn = [
                tuple(space.sample_architecture(self._generator))
                for _ in range(self.settings.candidates)
            ]
            self.archive.append(self._most_novel(space, drawn, self.archive))
            return
        distances = [space.distance(visited, other) for other in self.archive]
        place = distances.index(min(distances))
        others = self.archive[:place] + self.archive[place + 1 :]
        candidates = [self.archive[place], *self._recent]
        self.archive[place] = self._most_novel(space, candidates, others)

    def _space(self, model: nn.Module) -> Searchable:
        """Return the supernet, and note its options where these are needed."""
        space = searchable(model, type(self).__name__)
        if self.settings.along == "opposites":
            self._options = options_of(model, "along: opposites")
        return space

    def before_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Mix the archive's loss in."""
        epsilon = self.settings.epsilon
        if epsilon == 0:
            return
        if self.settings.archive_loss == "constant":
            with torch.no_grad():
                loss = self._archive_loss(strategy)
        else:
            loss = self._archive_loss(strategy)
        strategy.loss = (1 - epsilon) * strategy.loss + epsilon * loss

    def _archive_loss(self, strategy: Any) -> Tensor:
        """Return the mean loss of the architectures of this step."""
        chosen = self._along(strategy.model)
        losses = torch.stack([
            strategy._criterion(strategy.model.run(strategy.mb_x, other), strategy.mb_y)
            for other in chosen
        ])  # fmt: skip
        if self.settings.weights == "similarity":
            weights = [1 - strategy.model.distance(self._visited, other) for other in chosen]
            if sum(weights) > 0:
                weighted: Tensor = losses @ losses.new_tensor(weights) / sum(weights)
                return weighted
        return losses.mean()

    def _along(self, space: Searchable) -> list[Architecture]:
        """Return the architectures that are trained along in this step."""
        if self.settings.along == "opposites":
            one = tuple(space.sample_architecture(self._generator))
            return [one, self._opposite(one)]
        chosen, count = self.archive, self.settings.constraints
        if count is not None and count < len(chosen):
            places = self._generator.choice(len(chosen), count, replace=False)
            chosen = [chosen[place] for place in places]
        return chosen

    def _opposite(self, one: Architecture) -> Architecture:
        """Draw an architecture that differs in every decision, each such one equally likely."""
        return tuple(
            (taken + int(self._generator.integers(1, count))) % count if count > 1 else taken
            for taken, count in zip(one, self._options, strict=True)
        )

    def _most_novel(
        self, space: Searchable, candidates: list[Architecture], others: list[Architecture]
    ) -> Architecture:
        """Return the first of the candidates that are farthest from some architectures."""
        return max(candidates, key=lambda one: self._novelty(space, one, others))

    def _novelty(self, space: Searchable, one: Architecture, others: list[Architecture]) -> float:
        """Return the mean distance from the nearest architectures; 0 where there are none."""
        nearest = sorted(space.distance(one, other) for other in others)
        nearest = nearest[: self.settings.neighbours]
        return sum(nearest) / len(nearest) if nearest else 0.0
