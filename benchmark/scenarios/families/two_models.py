"""The weight-plasticity paper's experiment: B trains after A and shares its first layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from palimpsest.benchmark.data.catalog import outline
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.settings.optimizers import Optimizer, RMSprop
from palimpsest.benchmark.scenarios.settings.scenario import Curve, ScenarioSettings
from palimpsest.benchmark.settings.values import (
    Count,
    CountFromZero,
    Degrees,
    Fraction,
    Names,
    Several,
)

if TYPE_CHECKING:
    from palimpsest.benchmark.models.bank import ModelBank
    from palimpsest.benchmark.scenarios.scenario import Scenario
    from palimpsest.benchmark.scenarios.streams.parts import DataSet


Shape = tuple[int, int, int] | None


class TwoModels(ScenarioSettings):
    """Model A, then model B, which shares A's first hidden layers; a head for each.

    The defaults are the cold start: RMSprop without bias correction takes up to ten times its
    usual step at the start of B, and A's accuracy falls within a few steps. Source: Benyahia,
    Yu et al., Overcoming Multi-Model Forgetting, ICML 2019, section 4.1 (the optimizer is not
    named there).
    """

    family: Literal["two_models"] = "two_models"
    data: str = Field("mnist", description="Model A's data set.")
    second_data: str = Field(
        "same",
        description="Model B's data: same, rotated or permuted (A's, transformed), or the name "
        "of another data set with images of the same shape.",
    )
    rotation: Degrees = Field(180.0, description="Degrees, for second_data: rotated.")
    hidden_layers: tuple[Several, Several] = Field(
        (4, 6), description="Of mlp and cnn: of A and of B."
    )
    shared_layers: CountFromZero = Field(
        3, description="Of mlp and cnn: how many of the first layers B shares with A."
    )
    shared: CountFromZero | Names | None = Field(
        None,
        description="Of other networks than mlp and cnn, what B shares with A: the names of child "
        "modules, or how many of the first blocks; null: all but the head.",
    )
    width: Count = 50
    optimizer: Optimizer = RMSprop()
    second_optimizer: Optimizer | None = Field(
        None, description="Model B's optimizer; null: the same as A's."
    )
    second_warmup: CountFromZero | None = Field(
        None,
        description="Steps of model B's warm-up; null: as many as A's.",
    )
    steps: Count | None = 1500
    target_accuracy: Fraction | None = Field(
        None,
        gt=0,
        description="Validation accuracy at which A's training stops; steps is the limit.",
    )
    curve: Curve = Curve(every=50, first=0)

    @model_validator(mode="after")
    def _can_share(self) -> Self:
        if self.shared_layers > min(self.hidden_layers):
            raise ValueError(
                f"shared_layers is {self.shared_layers}, but a model has only "
                f"{min(self.hidden_layers)} hidden layers"
            )
        second = self.optimizer_of(1).name
        if self.optimizer_state == "kept" and second != self.optimizer.name:
            raise ValueError(
                f"optimizer_state: kept needs one kind of optimizer, but A has "
                f"{self.optimizer.name} and B {second}"
            )
        if self.target_accuracy is not None and self.validation == 0:
            raise ValueError("target_accuracy needs a validation split: validation > 0")
        return self

    later_models_only: ClassVar[set[str]] = {
        "second_data",
        "rotation",
        "second_optimizer",
        "second_warmup",
        "optimizer_state",
    }

    def optimizer_of(self, model: int) -> Optimizer:
        """Return A's or B's optimizer."""
        return (model and self.second_optimizer) or self.optimizer

    def warmup_of(self, model: int) -> int:
        """Return the steps of A's or B's warm-up."""
        return self.second_warmup if model and self.second_warmup is not None else self.warmup

    @property
    def has_several_models(self) -> bool:
        """Whether it is known that experiences have models, or heads, of their own."""
        return True

    def data_sets(self) -> set[str]:
        """Return the names of all data sets the scenario reads."""
        derived = {"same", "rotated", "permuted"}
        return {self.data} | ({self.second_data} - derived)

    def check_data(self, root: Path) -> None:
        """Refuse data of B whose images have another shape than A's."""
        if self.data_sets() != {self.data}:
            shapes = [outline(name, root).input_shape for name in (self.data, self.second_data)]
            if None not in shapes:
                self._check_shapes(*shapes)

    def build(self, seed: int, root: Path, device: str) -> Scenario:
        """Make the scenario; the seed decides the initial weights and a permutation."""
        first = self.load_images(root, device)
        second = self._second_part(seed, root, device)
        self._check_shapes(first.input_shape, second.input_shape)
        bank = self._bank(seed, first, second)
        parts = [first.part, second.part]
        return self.assemble(bank, parts, [0, 1], [self.target_accuracy, None])

    def _bank(self, seed: int, first: DataSet, second: DataSet) -> ModelBank:
        import torch

        from palimpsest.benchmark.models.bank import ModelBank
        from palimpsest.benchmark.models.blocks import draw_weights, head, hidden_blocks
        from palimpsest.benchmark.models.networks import pair

        shape, sizes = first.input_shape, [first.n_classes, second.n_classes]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            if not self.network.is_plain:
                return pair(self.network, shape, sizes, self.shared)
            kind = self.network.name
            a, b = (
                hidden_blocks(kind, shape, depth, self.width, self.activation)
                for depth in self.hidden_layers
            )
            heads = [head(kind, self.width, size) for size in sizes]
            draw_weights([*a, *b], heads, self.initial_weights)
        k = self.shared_layers
        shared = {f"shared_{i}": block for i, block in enumerate(a[:k])}
        own_a = {f"a_{i}": block for i, block in enumerate(a[k:], start=k)} | {"a_head": heads[0]}
        own_b = {f"b_{i}": block for i, block in enumerate(b[k:], start=k)} | {"b_head": heads[1]}
        paths = [[*shared, *own_a], [*shared, *own_b]]
        return ModelBank(shared | own_a | own_b, paths, max(sizes))

    def _second_part(self, seed: int, root: Path, device: str) -> DataSet:
        from dataclasses import replace

        from palimpsest.benchmark.scenarios.streams.transformed import changed

        if self.second_data not in {"same", "rotated", "permuted"}:
            return self.load_images(root, device, self.second_data)
        same = self.load_images(root, device)
        return replace(same, part=changed(same, self.second_data, seed, 1, self.rotation))

    def _check_shapes(self, first: Shape, second: Shape) -> None:
        if first != second:
            raise UserError(
                f"second_data {self.second_data!r} has images of shape {second}, {self.data!r} of "
                f"{first}: two models that share layers need the same shape"
            )
