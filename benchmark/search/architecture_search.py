"""The family of architecture searches: a supernet is trained, one architecture after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from palimpsest.benchmark.data.paths import TEXT_PREFIX
from palimpsest.benchmark.errors import UserError, quoted
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.settings.scenario import OF_PLAIN, Curve, ScenarioSettings
from palimpsest.benchmark.search.plan import SearchPlan, spread
from palimpsest.benchmark.search.samplers import Sampler, Uniform
from palimpsest.benchmark.search.supernets.settings import ConvolutionalCell, SupernetChoice
from palimpsest.benchmark.settings.values import Count, CountFromZero, Share

if TYPE_CHECKING:
    from palimpsest.benchmark.scenarios.scenario import Scenario
    from palimpsest.benchmark.search.supernets.supernet import Architecture, Space, Supernet

_MOST_RANKED = 10_000
"""The most architectures that are all ranked, or all trained alone, by default."""

_ONE_BATCH = ("single_path", "fair")
"""Samplers that draw anew for every batch."""

_NOT_OF_SEARCHES = ("network", *OF_PLAIN, "online", "warmup", "curve")
_NOT_OF_SHARED_WEIGHTS = ("learning_rate_schedule",)
_OF_SHARED_WEIGHTS = (
    *("sampler", "warm_start", "visits", "batches", "measured", "ranked"),
    *("learning_rate_decay", "decay_after", "cut_after_warm_start"),
)
_OF_IMAGES, _OF_TEXT = ("augment", "validation", "pixels"), ("words", "length")


class ArchitectureSearch(ScenarioSettings):
    """Sub-networks of one supernet are trained in turn on the same data, a few batches at a time.

    Each visit trains another architecture, drawn by the ``sampler``, and may harm all that share
    weights with it. Source: Benyahia, Yu et al., Overcoming Multi-Model Forgetting, ICML 2019,
    section 4.2 and 4.3.
    """

    family: Literal["architecture_search"] = "architecture_search"
    epochs: Count | None = Field(10, description="Of the search, visits visits each.")
    visits: Count = Field(30, description="Of an epoch: architectures that are trained in turn.")
    batches: Count = Field(
        10, description="Training batches of a visit; 1 with the samplers single_path and fair."
    )
    supernet: SupernetChoice = Field(
        ConvolutionalCell(),
        description="convolutional_cell, recurrent_cell or micro_cell, as a mapping with its name "
        "and settings (see Search spaces).",
    )
    words: Count | None = Field(
        None, description="Of text: the most frequent words are the vocabulary; null: all words."
    )
    length: Count = Field(
        35, description="Of text: words of a window, through which gradients are propagated back."
    )
    sampler: Sampler = Field(
        Uniform(),
        description="uniform, single_path, fair or controller, or a mapping with a name.",
    )
    warm_start: CountFromZero = Field(
        0,
        description="Epochs before these that train without the strategy, a new architecture in "
        "every batch, so that all strategies start from the same weights.",
    )
    learning_rate_decay: Share = Field(
        1.0, description="What the learning rate is multiplied by after an epoch; 1: it stays."
    )
    decay_after: CountFromZero = Field(
        0, description="Epochs before the first decay, those of a warm-start not counted."
    )
    cut_after_warm_start: Share = Field(
        1.0, description="What the learning rate is multiplied by when the warm-start is over."
    )
    shared: bool = Field(
        True,
        strict=True,
        description="Whether architectures share weights. false: each of them is trained alone, "
        "from the same initial weights and on the same batches, for steps steps: the ground truth.",
    )
    architectures: tuple[tuple[CountFromZero, ...], ...] | None = Field(
        None,
        description="For shared: false: which ones, each as a list with the option of every "
        "decision, counted from 0; null: all of the space.",
    )
    measured: Count | None = Field(
        None,
        description="Visits of an epoch whose architecture is measured before it, after it and at "
        "the end of the epoch; null: all.",
    )
    measured_samples: Count | None = Field(
        1000,
        description="Samples of the validation split that they are measured on, a fixed random "
        "choice; null: all.",
    )
    ranked: CountFromZero | None = Field(
        None,
        description="Architectures that are measured at the end on the validation split and the "
        "test set, a fixed random choice; null: all of the space; 0: none.",
    )
    optimizer_state: Literal["fresh", "kept"] = Field(
        "kept", description="State of the optimizer when a visit begins: kept from the one before."
    )
    curve: Curve = Curve(every=0)

    takes_text: ClassVar[bool] = True

    later_models_only: ClassVar[set[str]] = {
        *("epochs", "visits", "batches", "sampler", "learning_rate_decay", "decay_after"),
        *("warm_start", "cut_after_warm_start", "measured", "measured_samples", "ranked"),
    }

    def of_first_model(self) -> dict[str, Any]:
        """Return the settings that decide the warm-start: its length in steps, not in epochs."""
        return super().of_first_model() | {"steps": self.warm_start * self.visits * self.batches}

    @model_validator(mode="before")
    @classmethod
    def _one_batch(cls, values: Any) -> Any:
        """Samplers that draw for every batch have visits of one."""
        if not isinstance(values, dict):
            return values
        sampler = values.get("sampler")
        name = sampler.get("name") if isinstance(sampler, dict) else sampler
        return {"batches": 1} | values if name in _ONE_BATCH else values

    @model_validator(mode="after")
    def _settings_of_its_network(self) -> Self:
        """Allow all: the network is the supernet, and ``shared`` means something else here."""
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    @property
    def meaningless(self) -> Sequence[str]:
        """Settings of other scenarios, of the other kind of data, and of the other training."""
        training = _NOT_OF_SHARED_WEIGHTS if self.shared else _OF_SHARED_WEIGHTS
        return (*_NOT_OF_SEARCHES, *training, *(_OF_IMAGES if self.has_words else _OF_TEXT))

    def _problems(self) -> list[str]:
        unfit = (*_NOT_OF_SEARCHES, *(_NOT_OF_SHARED_WEIGHTS if self.shared else ()))
        found = [f"{name} has no meaning in a search: remove it" for name in self._given(unfit)]
        if self.sampler.name in _ONE_BATCH and self.batches != 1:
            found.append(
                f"batches is {self.batches}, but {self.sampler.name} has visits of one: remove it"
            )
        here, there = ("text", "images") if self.has_words else ("images", "text")
        found += [
            f"{name} is for {there}, and the data are {here}: remove it"
            for name in self._given(_OF_IMAGES if self.has_words else _OF_TEXT)
        ]
        if self._columns is None and self.validation == 0:
            found.append("validation: a search is measured on a validation split; give more than 0")
        if self.decay_after and self.learning_rate_decay == 1:
            found.append("decay_after has no effect without a learning_rate_decay below 1")
        if self.measured is not None and self.measured > self.visits:
            found.append(f"measured is {self.measured}, but an epoch has {self.visits} visits")
        if self.cut_after_warm_start != 1 and not self.warm_start:
            found.append("cut_after_warm_start: there is no warm_start; lower the learning rate")
        if self.shared and self.steps is not None:
            found.append("steps is the training of an architecture alone: give epochs")
        if self.shared and self.architectures is not None:
            found.append("architectures are for shared: false; a search draws its own")
        if not self.shared:
            found += self._problems_alone()
        return found

    def _problems_alone(self) -> list[str]:
        found = []
        if self.steps is None:
            found.append("shared: false trains every architecture alone: give steps, not epochs")
        found += [
            f"{name} has no meaning with shared: false: remove it"
            for name in self._given(_OF_SHARED_WEIGHTS)
        ]
        if self.architectures is not None and not self.architectures:
            found.append("architectures: expected one or more, got none")
        return found

    @property
    def one_supernet(self) -> bool:
        """Whether architectures share weights."""
        return self.shared

    @property
    def is_search(self) -> bool:
        """Always, also where architectures are trained alone."""
        return True

    @property
    def has_words(self) -> bool:
        """Whether the data are text."""
        return self._columns is not None

    @property
    def mixes_samples(self) -> bool:
        """Whether the supernet normalises over the batch; those of plugins may not say."""
        return getattr(self.supernet, "normalisation", None) == "batch"

    @property
    def needs_a_look(self) -> bool:
        """Always: only the supernet shows whether its space fits the sampler."""
        return True

    def make_supernet(self, input_shape: tuple[int, int, int] | None, n_classes: int) -> Supernet:
        """Return the supernet, with random weights from torch's global generator.

        Args:
            input_shape: Channels, height and width; ``None`` if the data are text.
            n_classes: Classes, or words of the vocabulary.
        """
        from palimpsest.benchmark.search.supernets.making import make

        return make(self.supernet, input_shape, n_classes)

    def build(self, seed: int, root: Path, device: str) -> Scenario:
        """Make the scenario; the seed decides the weights, the batches and the architectures."""
        import torch

        from palimpsest.benchmark.search.parts import assemble_search

        if self._columns is None:
            data = self.load_images(root, device)
            part, shape, n_classes = data.part, data.input_shape, data.n_classes
        else:
            from palimpsest.benchmark.scenarios.streams.windows import load_windows

            sizes = (self.words, self.batch_size, self.length)
            part, n_classes = load_windows(self.data, root, *sizes, self.amounts, device)
            shape = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            supernet = self.make_supernet(shape, n_classes)
        search, bank = self._search(supernet, seed)
        return assemble_search(search, bank, part, self.measured_samples)

    @property
    def _columns(self) -> int | None:
        return self.batch_size if self.data.startswith(TEXT_PREFIX) else None

    def _search(self, supernet: Supernet, seed: int) -> tuple[SearchPlan, Any]:
        """Return the plan of the search, and the bank of its slots."""
        from copy import deepcopy

        import numpy as np

        from palimpsest.benchmark.search.supernet_bank import SupernetBank

        space = supernet.space
        if not self.shared:
            assert self.steps is not None
            trained = _alone(space, self.architectures)
            search = self._plan(1, len(trained), self.steps, 1, tuple(range(len(trained))))
            return search, SupernetBank([deepcopy(supernet) for _ in trained], trained)
        assert self.epochs is not None
        _check_ranked(space, self.ranked)
        width = _width_of(self.sampler, space)
        measured = spread(self.measured, self.visits)
        search = self._plan(self.epochs, self.visits, self.batches, width, measured)
        generator = np.random.default_rng(derive(seed, "scenario"))
        slots = [space.sample(generator) for _ in range(search.slots)]
        return search, SupernetBank([supernet], slots)

    def _plan(
        self, epochs: int, visits: int, batches: int, width: int, measured: tuple[int, ...]
    ) -> SearchPlan:
        return SearchPlan(
            sampler=self.sampler,
            epochs=epochs,
            visits=visits,
            batches=batches,
            warm_start=self.warm_start,
            shared=self.shared,
            width=width,
            measured=measured,
            ranked=self.ranked,
            columns=self._columns,
            decay=self.learning_rate_decay,
            decay_after=self.decay_after,
            cut=self.cut_after_warm_start,
        )


def _width_of(sampler: Sampler, space: Space) -> int:
    """Return the number of architectures that are trained in a step."""
    if sampler.name != "fair":
        return 1
    if len(set(space.options)) > 1:
        raise UserError(
            "sampler: fair trains every option of every decision in each step, and needs as "
            f"many options of each; this space has {', '.join(map(str, space.options))}"
        )
    return space.options[0]


def _alone(space: Space, asked: tuple[Architecture, ...] | None) -> list[Architecture]:
    """Return the architectures of a space that are trained alone: those asked for, or all."""
    if asked is None:
        if space.size > _MOST_RANKED:
            raise UserError(
                f"shared: false would train {space.size:,} architectures, each alone; say "
                "which, by architectures"
            )
        return list(space.all())
    for number, each in enumerate(asked):
        try:
            space.check(each)
        except ValueError as error:
            raise UserError(f"architectures: {error}") from None
        if each in asked[:number]:
            raise UserError(f"architectures: {quoted(list(each))} is given twice")
    return list(asked)


def _check_ranked(space: Space, ranked: int | None) -> None:
    """Refuse to rank a large space by default."""
    if ranked is None and space.size > _MOST_RANKED:
        raise UserError(
            f"ranked: the space has {space.size:,} architectures; say how many of them are to "
            "be ranked at the end, or 0"
        )
