"""The optimizers that scenarios offer, with their settings; importing this needs no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from palimpsest.benchmark.settings.values import BY_NAME, Decay, Fraction, Rate, Settings


class RoleDecay(Settings):
    """Weight decay by the role of a weight in the model being trained."""

    shared: Decay = Field(0.0, description="Of weights that an earlier model also used.")
    private: Decay = Field(0.0, description="Of the model's other weights.")


def _number_or_roles(value: Any) -> str:
    return "roles" if isinstance(value, dict | RoleDecay) else "number"


WeightDecay = Annotated[
    Annotated[Decay, Tag("number")] | Annotated[RoleDecay, Tag("roles")],
    Discriminator(_number_or_roles),
    Field(description="Of all weights, or {shared: ..., private: ...}."),
]
"""The prior ``weight_decay/2 * theta^2`` on the weights, as torch's optimizers apply it."""


class SGD(Settings):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    learning_rate: Rate = 0.05
    momentum: Fraction = 0.0
    nesterov: bool = False
    weight_decay: WeightDecay = 0.0

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum: give one above 0, such as momentum: 0.9")
        return self


class Adam(Settings):
    """Adam, or AdamW with decoupled weight decay."""

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: Rate = 0.001
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: Rate = 1e-8
    fused: bool = Field(
        False,
        description="A step in one pass over the weights: the same formula, rounded otherwise, and "
        "faster for networks of a million weights.",
    )
    weight_decay: WeightDecay = 0.0


class RMSprop(Settings):
    """RMSprop, without bias correction: its first steps are up to ten times its usual ones."""

    name: Literal["rmsprop"] = "rmsprop"
    learning_rate: Rate = 0.01
    alpha: Fraction = 0.99
    eps: Rate = 1e-8
    momentum: Fraction = 0.0
    centered: bool = False
    weight_decay: WeightDecay = 0.0


Optimizer = Annotated[Annotated[SGD | Adam | RMSprop, Field(discriminator="name")], BY_NAME]
