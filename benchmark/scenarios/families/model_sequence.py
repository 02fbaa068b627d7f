"""A sequence of models, each with layers drawn at random from a common pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.settings.scenario import Curve, ScenarioSettings
from palimpsest.benchmark.settings.values import Count, CountFromZero, Degrees, Names, Several

if TYPE_CHECKING:
    from palimpsest.benchmark.models.bank import ModelBank
    from palimpsest.benchmark.scenarios.scenario import Scenario
    from palimpsest.benchmark.scenarios.streams.parts import DataSet


class ModelSequence(ScenarioSettings):
    """Models with a head each, whose hidden layers come from a pool.

    For each of its hidden layers a model draws one of ``pool`` candidates, so that two models
    share on average ``hidden_layers / pool`` layers; a layer may be shared by models 1 and 3
    and not by 2.
    """

    family: Literal["model_sequence"] = "model_sequence"
    models: Several = Field(5, ge=2, description="How many models.")
    hidden_layers: Several = Field(4, description="Of mlp and cnn: hidden layers of each model.")
    pool: Several = Field(
        2, description="Candidates for each hidden layer or block; 1: all are shared."
    )
    shared: CountFromZero | Names | None = Field(
        None,
        description="Of other networks than mlp and cnn, what comes from the pool: the names of "
        "child modules, or how many of the first blocks; null: all blocks but the head.",
    )
    change: Literal["same", "rotated", "permuted"] = Field(
        "same",
        description="The models' data: all the same, rotated by model * rotation degrees, or with "
        "the pixels permuted for every model but the first.",
    )
    rotation: Degrees = Field(30.0, description="Degrees from model to model, for change: rotated.")
    steps: Count | None = 500
    curve: Curve = Curve(every=50)

    @property
    def has_several_models(self) -> bool:
        """Whether it is known that experiences have models, or heads, of their own."""
        return True

    def build(self, seed: int, root: Path, device: str) -> Scenario:
        """Make the scenario; the seed decides weights, paths and permutations."""
        from palimpsest.benchmark.scenarios.streams.transformed import changed

        base = self.load_images(root, device)
        bank = self._bank(seed, base)
        parts = [
            changed(base, self.change if model else "same", seed, model, model * self.rotation)
            for model in range(self.models)
        ]
        return self.assemble(bank, parts, range(self.models))

    def _bank(self, seed: int, base: DataSet) -> ModelBank:
        import numpy as np
        import torch

        from palimpsest.benchmark.models.bank import ModelBank
        from palimpsest.benchmark.models.blocks import draw_weights, head, hidden_blocks
        from palimpsest.benchmark.models.networks import drawn

        shape, kind = base.input_shape, self.network.name

        def draw(positions: int) -> Any:
            generator = np.random.default_rng(derive(seed, "scenario"))
            return generator.integers(self.pool, size=(self.models, positions))

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            if not self.network.is_plain:
                return drawn(self.network, shape, base.n_classes, self.shared, self.pool, draw)
            pool = {
                f"layer_{position}_{candidate}": block
                for candidate in range(self.pool)
                for position, block in enumerate(
                    hidden_blocks(kind, shape, self.hidden_layers, self.width, self.activation)
                )
            }
            heads = {
                f"head_{model}": head(kind, self.width, base.n_classes)
                for model in range(self.models)
            }
            draw_weights(pool.values(), heads.values(), self.initial_weights)
        paths = [
            [*(f"layer_{p}_{c}" for p, c in enumerate(row)), f"head_{model}"]
            for model, row in enumerate(draw(self.hidden_layers))
        ]
        return ModelBank(pool | heads, paths, base.n_classes)
