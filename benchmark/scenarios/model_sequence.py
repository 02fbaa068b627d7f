"""Many models in a row, each taking its layers at random from a common pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from benchmark.scenarios.settings import Count, Curve, Degrees, ScenarioSettings, Several
from benchmark.seeding import derive

if TYPE_CHECKING:
    from benchmark.scenarios.scenario import Scenario


class ModelSequence(ScenarioSettings):
    """Models with a head each, whose hidden layers come from a pool.

    For each of its hidden layers a model draws one of ``pool`` candidates, so that two models
    share on average ``hidden_layers / pool`` layers; a layer may be shared by models 1 and 3
    and not by 2.
    """

    family: Literal["model_sequence"] = "model_sequence"
    models: Several = Field(5, ge=2, description="How many models.")
    hidden_layers: Several = Field(4, description="Hidden layers of each model.")
    pool: Several = Field(2, description="Candidates for each hidden layer; 1: all are shared.")
    change: Literal["same", "rotated", "permuted"] = Field(
        "same",
        description="The models' data: all the same, rotated by model * rotation degrees, or with "
        "the pixels permuted for every model but the first.",
    )
    rotation: Degrees = Field(30.0, description="Degrees from model to model, for change: rotated.")
    steps: Count | None = 500
    curve: Curve = Curve(every=50)

    def build(self, seed: int, root: Path, device: str) -> Scenario:
        """Make the scenario; the seed decides weights, paths and permutations."""
        import numpy as np
        import torch

        from benchmark.models.bank import ModelBank
        from benchmark.models.blocks import head, hidden_blocks
        from benchmark.scenarios.transformed import changed

        base = self.load_data(root, device)
        choices = np.random.default_rng(derive(seed, "scenario")).integers(
            self.pool, size=(self.models, self.hidden_layers)
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            pool = {
                f"layer_{position}_{candidate}": block
                for candidate in range(self.pool)
                for position, block in enumerate(
                    hidden_blocks(
                        self.network,
                        base.input_shape,
                        self.hidden_layers,
                        self.width,
                        self.activation,
                    )
                )
            }
            heads = {
                f"head_{model}": head(self.network, self.width, base.n_classes)
                for model in range(self.models)
            }
        paths = [
            [*(f"layer_{p}_{c}" for p, c in enumerate(row)), f"head_{model}"]
            for model, row in enumerate(choices)
        ]
        parts = [
            changed(base, self.change if model else "same", seed, model, model * self.rotation)
            for model in range(self.models)
        ]
        bank = ModelBank(pool | heads, paths, base.n_classes)
        return self.assemble(bank, parts, range(self.models))
