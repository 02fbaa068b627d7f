"""The settings that all scenario families share; importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from palimpsest.benchmark.data.sets import SETS
from palimpsest.benchmark.models.choice import Network
from palimpsest.benchmark.scenarios.settings.augment import Augment
from palimpsest.benchmark.scenarios.settings.learning_rates import Constant, LearningRateSchedule
from palimpsest.benchmark.scenarios.settings.optimizers import SGD, Optimizer
from palimpsest.benchmark.settings.values import (
    Count,
    CountFromZero,
    Fraction,
    Rate,
    Settings,
    named,
)

if TYPE_CHECKING:
    from palimpsest.benchmark.models.bank import ModelBank
    from palimpsest.benchmark.scenarios.scenario import Scenario
    from palimpsest.benchmark.scenarios.streams.parts import Amounts, DataSet, Part

_MOST_WEIGHTS = 10**9
"""The limit of a layer: 4 GB, and as much for gradients and each moment of the optimizer."""

ONLINE_BATCH = 10
"""Samples of an optimizer step where a scenario is online.

Source: Lopez-Paz & Ranzato, Gradient Episodic Memory, NeurIPS 2017.
"""

OF_PLAIN = ("width", "activation", "initial_weights", "hidden_layers", "shared_layers")
"""Settings only for networks that families build layer by layer."""


class Curve(Settings):
    """When the accuracy of every model so far is measured while one trains."""

    every: CountFromZero = Field(50, description="Steps between measurements; 0 measures no curve.")
    first: CountFromZero = Field(0, description="Also after each of this many first steps.")
    samples: Count | None = Field(
        2000,
        description="Samples per model that it is measured on, a fixed random choice; null: all. "
        "Accuracies before and after a training always use all.",
    )
    split: Literal["test", "validation"] = Field(
        "test",
        description="The split they come from; validation, to choose settings by a curve.",
    )


class ScenarioSettings(Settings):
    """The settings of every scenario: data, network, training and curves."""

    results_version: ClassVar[int] = 1
    """Part of the keys of the family's runs; raised when their results change, or a default."""

    family: str
    data: str = Field(
        "digits",
        description=f"{', '.join(SETS)} or folder:PATH (see Data sets).",
    )
    samples: Count | None = Field(
        None, description="Training samples used, a fixed random choice; null: all."
    )
    validation: Fraction = Field(
        0.1, description="Share of the training samples held out for choosing settings."
    )
    test_samples: Count | None = Field(
        None,
        description="Test samples used, a fixed random choice; null: all.",
    )
    validation_samples: Count | None = Field(
        None,
        description="Held-out samples used for evaluation, a fixed random choice; null: all.",
    )
    pixels: Literal["standardised", "unit"] = Field(
        "standardised",
        description="What a network sees of an image. standardised: each channel has mean 0 and "
        "standard deviation 1 over all training images. unit: brightness from 0 to 1.",
    )
    network: Network = Field(
        Network(name="mlp"), description="The network: its name, or a mapping (see Networks)."
    )
    width: Count = Field(100, description="Of mlp and cnn: units of a hidden layer, or channels.")
    activation: Literal["relu", "tanh"] = Field(
        "relu", description="Of mlp and cnn: after each hidden layer."
    )
    initial_weights: Literal["torch", "glorot", "glorot_zero_heads"] = Field(
        "torch",
        description="Of mlp and cnn. torch: as torch draws them. glorot: as Glorot and Bengio, "
        "biases 0. glorot_zero_heads: the same, and output layers begin with zeros.",
    )
    optimizer: Optimizer = Field(
        default_factory=SGD,
        description="Of every model; by default each model starts with a fresh one.",
    )
    optimizer_state: Literal["fresh", "kept"] = Field(
        "fresh",
        description="State of a model's optimizer at its start. 'kept': with the momentum and "
        "second moments of parameters that an earlier model trained.",
    )
    warmup: CountFromZero = Field(
        0, description="Steps over which each model's learning rate rises linearly."
    )
    learning_rate_schedule: LearningRateSchedule = Field(
        Constant(),
        description="How the learning rate changes after the warm-up while a model trains: "
        "constant, cosine, step or linear.",
    )
    clip_gradient: Rate | None = Field(
        None,
        description="Largest Euclidean norm of the loss's gradient over all weights; a longer one "
        "is scaled down to it in each step. null: no clipping.",
    )
    label_smoothing: Fraction = Field(
        0.0,
        description="Share of a label that the training loss spreads evenly over all classes.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Of the training's passes; bfloat16 by torch's autocast, for GPUs.",
    )
    augment: Augment | None = Field(
        None,
        description="Random changes of the images that models train on; null: none.",
    )
    batch_size: Count = Field(64, description="Samples of an optimizer step.")
    steps: Count | None = Field(None, description="Optimizer steps per model; or give epochs.")
    epochs: Count | None = Field(None, description="Passes over its data per model; or give steps.")
    online: bool = Field(
        False,
        strict=True,
        description="One pass over the data of each model, in batches of 10 unless batch_size says "
        "otherwise: no sample is trained on twice, unless a strategy replays it.",
    )
    curve: Curve = Field(Curve(), description="How accuracies are measured while a model trains.")

    @field_validator("optimizer", mode="before")
    @classmethod
    def _complete_optimizer(cls, value: Any) -> Any:
        """If only some settings of the default optimizer are given, keep the others."""
        default = cls.model_fields["optimizer"].get_default(call_default_factory=True)
        given = named(value)
        same = isinstance(given, dict) and given.get("name", default.name) == default.name
        return default.model_dump() | given if same else given

    @model_validator(mode="before")
    @classmethod
    def _given_length_replaces_the_default(cls, values: Any) -> Any:
        """Given steps replace the default epochs, and the reverse."""
        for given, other in (("steps", "epochs"), ("epochs", "steps")):
            if isinstance(values, dict) and values.get(given) is not None:
                values = {other: None} | values
        return values

    @model_validator(mode="before")
    @classmethod
    def _online_is_one_pass(cls, values: Any) -> Any:
        """Online sets one epoch and the batch size, and no other length can be given with it."""
        if not isinstance(values, dict) or values.get("online") is not True:
            return values
        if values.get("steps") is not None:
            raise ValueError("online is one pass over the data: remove steps, or online")
        if values.get("epochs") not in (None, 1):
            raise ValueError("online is one pass over the data: remove epochs, or online")
        return {"batch_size": ONLINE_BATCH} | values | {"steps": None, "epochs": 1}

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of steps and epochs, and null for the other")
        return self

    @model_validator(mode="after")
    def _has_a_validation_split(self) -> Self:
        on_curve = self.curve.every and self.curve.split == "validation"
        if self.validation == 0 and (on_curve or self.validation_samples is not None):
            name = "curve" if on_curve else "validation_samples"
            raise ValueError(f"{name} needs a validation split: validation > 0")
        return self

    @model_validator(mode="after")
    def _fits_a_machine(self) -> Self:
        weights = (9 if self.network.name == "cnn" else 1) * self.width**2
        if weights > _MOST_WEIGHTS:
            raise ValueError(
                f"width {self.width} makes {weights:,} weights of a single hidden layer, "
                f"{4 * weights / 1e9:,.0f} GB; expected at most {_MOST_WEIGHTS:,} weights"
            )
        return self

    @model_validator(mode="after")
    def _settings_of_its_network(self) -> Self:
        plain = self.network.is_plain
        for name in self._given(self.meaningless):
            hint = "they have shared_layers or pool" if plain else "it has arguments"
            raise ValueError(
                f"{name} is no setting of {'mlp and cnn' if plain else self.network}: {hint}"
            )
        return self

    @property
    def meaningless(self) -> Sequence[str]:
        """Settings that the others make meaningless; they have to be at their defaults."""
        return ("shared",) if self.network.is_plain else OF_PLAIN

    def _given(self, names: Iterable[str]) -> list[str]:
        """Return those of some settings that are not at their defaults; a family may lack some."""
        fields = type(self).model_fields
        return [
            name
            for name in names
            if name in fields
            and getattr(self, name) != fields[name].get_default(call_default_factory=True)
        ]

    later_models_only: ClassVar[set[str]] = set()
    """Settings that do not affect the first model's training."""

    def of_first_model(self) -> dict[str, Any]:
        """Return the settings that decide the first model's training."""
        return self.model_dump(mode="json", exclude=self.later_models_only)

    takes_text: ClassVar[bool] = False
    """Whether ``data`` may be text."""

    def optimizer_of(self, model: int) -> Optimizer:
        """Return the settings of a model's optimizer."""
        return self.optimizer

    def warmup_of(self, model: int) -> int:
        """Return the steps of a model's warm-up."""
        return self.warmup

    def schedule_of(self, model: int) -> LearningRateSchedule:
        """Return the schedule of a model's learning rate."""
        return self.learning_rate_schedule

    @property
    def trains_seen_outputs(self) -> bool:
        """Whether the training's loss leaves out the outputs of later classes."""
        return False

    @property
    def one_supernet(self) -> bool:
        """Whether the models are architectures of one supernet that learn the same data."""
        return False

    @property
    def is_search(self) -> bool:
        """Whether the scenario decides which model is trained on which batch, as searches do.

        Strategies that train all models at once, or in their own way, cannot run then.
        """
        return self.one_supernet

    @property
    def has_several_models(self) -> bool:
        """Whether it is known that experiences have models, or heads, of their own."""
        return self.is_search

    @property
    def has_no_labels(self) -> bool:
        """Whether it is known that experiences have no task labels when they are evaluated."""
        return False

    @property
    def has_words(self) -> bool:
        """Whether logits are of the words of a text, in place of one row for each sample."""
        return False

    @property
    def mixes_samples(self) -> bool:
        """Whether it is known that a sample's logits depend on the others of its batch."""
        return False

    @property
    def needs_a_look(self) -> bool:
        """Whether the scenario has to be built to see if these settings fit together."""
        scheduled = self.learning_rate_schedule.name != "constant"
        return self.augment is not None or (scheduled and any(map(self.warmup_of, (0, 1))))

    def data_sets(self) -> set[str]:
        """Return the names of all data sets that the scenario reads."""
        return {self.data}

    def check_data(self, root: Path) -> None:
        """Refuse data that cannot fit these settings, before any are loaded.

        Args:
            root: The folder that holds the data sets, which have to exist.

        Raises:
            UserError: The settings do not fit the data.
        """

    def build(self, seed: int, root: Path, device: str) -> Scenario:
        """Create the scenario that these settings describe; families implement it.

        Args:
            seed: The run's seed; decides the initial weights and everything random.
            root: The folder that holds the data sets.
            device: Where the data are to be, as torch spells it.

        Raises:
            UserError: The settings do not fit the data.
        """
        raise NotImplementedError

    def load_data(self, root: Path, device: str, name: str | None = None) -> DataSet:
        """Return a data set with as many samples as the settings say; for ``build``.

        Its inputs are float tensors, see `load_images`.

        Args:
            root: The folder that holds the data sets.
            device: Where the tensors are to be, as torch spells it.
            name: Another data set in place of ``data``.
        """
        from palimpsest.benchmark.scenarios.loading import load_float_data_set

        return load_float_data_set(name or self.data, root, self.amounts, device, self.pixels)

    def load_images(self, root: Path, device: str, name: str | None = None) -> DataSet:
        """Return a data set as `load_data` does, with its images as bytes until they are used.

        Its inputs are `Pixels`, which take a quarter of the memory; the numbers are the same.

        Args:
            root: The folder that holds the data sets.
            device: Where the images are to be, as torch spells it.
            name: Another data set in place of ``data``.
        """
        from palimpsest.benchmark.scenarios.loading import load_data_set

        return load_data_set(name or self.data, root, self.amounts, device, self.pixels)

    @property
    def amounts(self) -> Amounts:
        """How many samples of each split are used."""
        from palimpsest.benchmark.scenarios.streams.parts import Amounts

        return Amounts(self.samples, self.validation, self.validation_samples, self.test_samples)

    def assemble(
        self,
        model: ModelBank,
        parts: Sequence[Part],
        labels: Sequence[int],
        targets: Sequence[float | None] | None = None,
    ) -> Scenario:
        """Return the scenario of a bank and the data of each experience; for ``build``.

        Args:
            model: The bank.
            parts: The data of each experience.
            labels: The task label of each experience: which model of the bank learns it.
            targets: Validation accuracy at which each model's training ends early, or ``None``.
        """
        from palimpsest.benchmark.scenarios.assembly import assemble

        return assemble(
            model,
            parts,
            labels,
            steps=[self.steps_for(len(part.train[0])) for part in parts],
            curve_split=self.curve.split,
            curve_samples=self.curve.samples,
            targets=targets,
        )

    def steps_for(self, n_samples: int) -> int:
        """Return the number of optimizer steps for a number of samples."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return self.epochs * -(-n_samples // self.batch_size)
