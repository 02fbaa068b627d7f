"""The samplers of a search, which draw its architectures; importing this needs no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from palimpsest.benchmark.settings.values import BY_NAME, Count, Decay, Fraction, Rate, Settings


class Uniform(Settings):
    """Every architecture with the same probability."""

    name: Literal["uniform"] = "uniform"


class SinglePath(Settings):
    """Every architecture with the same probability, a new one for every batch.

    Source: Guo et al., Single path one-shot neural architecture search with uniform sampling, ECCV
    2020.
    """

    name: Literal["single_path"] = "single_path"


class Fair(Settings):
    """Every option of every decision in every step, each once: strict fairness.

    For each decision an order of its m options is drawn; the j-th of all orders make architecture
    j. The gradients of the m architectures on the same batch are summed, and there is one update.

    Source: Chu et al., FairNAS: rethinking evaluation fairness of weight sharing neural
    architecture search, ICCV 2021.
    """

    name: Literal["fair"] = "fair"


class Controlled(Settings):
    """A recurrent network that is trained by REINFORCE to draw what does well on validation data.

    Source: Pham et al., Efficient neural architecture search via parameter sharing, ICML 2018.
    """

    name: Literal["controller"] = "controller"
    steps: Count = Field(100, description="Steps of the controller after each epoch.")
    architectures: Count = Field(1, description="Drawn in each step; the gradient is their mean.")
    batch: Count = Field(64, description="Validation samples of a reward; of text: batch_size.")
    reward: Rate | None = Field(
        None,
        description="c of the reward: c * accuracy, or c / perplexity; null: 1, and 80 for text.",
    )
    learning_rate: Rate = Field(3.5e-4, description="Of its optimizer, Adam.")
    hidden: Count = Field(100, description="Units of the LSTM.")
    temperature: Rate = Field(5.0, description="What the logits are divided by, first.")
    tanh: Rate = Field(2.5, description="c of c * tanh(logits), second: the largest logit.")
    entropy: Decay = Field(1e-4, description="Weight of the entropy, which is maximised, too.")
    baseline: Fraction = Field(0.95, description="Decay per step of the moving mean reward.")
    derived: Count = Field(
        100, description="Drawn at the end; the best on the validation split is what was found."
    )

    def scale_for(self, *, perplexity: bool) -> float:
        """Return c of the reward: c * accuracy, or c / perplexity."""
        default = 80.0 if perplexity else 1.0
        return default if self.reward is None else self.reward


Sampler = Annotated[
    Annotated[Uniform | SinglePath | Fair | Controlled, Field(discriminator="name")],
    BY_NAME,
]
