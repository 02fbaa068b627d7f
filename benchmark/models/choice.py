"""The setting for a scenario's network; importing this needs no torch."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from palimpsest.benchmark.models.registry import MODULE, NETWORKS, PREFIXES, TORCHVISION
from palimpsest.benchmark.settings.values import named

PLAIN = ("mlp", "cnn")
"""Networks that families build layer by layer, from depth and width."""

Statistics = Literal["shared", "per_model", "frozen"]


class Network(BaseModel):
    """A network: in a suite its name alone, or a mapping with more settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        description="mlp, cnn, reduced_resnet18, alexnet_like, torchvision:NAME, avalanche:NAME, "
        "module:PACKAGE.NAME, or one that a plugin adds."
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of the network's function or class."
    )
    weights: str | None = Field(
        None, description="Of torchvision: weights to begin with, such as DEFAULT; null: random."
    )
    batch_norm: Statistics = Field(
        "shared",
        description="Running statistics of shared batch normalisation. shared: one for all models. "
        "per_model: each model has its own. frozen: later models use those of the first model "
        "that has the layer, and leave them alone.",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        if not isinstance(value, str | dict | cls):
            raise ValueError("expected the name of a network, or a mapping with name and arguments")
        return named(value)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        prefix, colon, rest = self.name.partition(":")
        if colon and f"{prefix}:" not in PREFIXES:
            listed = ", ".join(f"{known}NAME" for known in PREFIXES)
            raise ValueError(f"network {self.name!r}: expected one of {listed}")
        if colon and not rest:
            raise ValueError(f"network {self.name!r} has no name after the colon")
        if f"{prefix}:" == MODULE and not all(part.isidentifier() for part in rest.split(".")):
            raise ValueError(f"network {self.name!r}: expected {MODULE}PACKAGE.NAME")
        if f"{prefix}:" == MODULE and "." not in rest:
            raise ValueError(f"network {self.name!r}: expected {MODULE}PACKAGE.NAME")
        if self.weights is not None and not self.name.startswith(TORCHVISION):
            raise ValueError(
                f"weights {self.weights!r}: only networks of torchvision have weights to begin "
                f"with, not {self.name}"
            )
        if self.name.startswith(TORCHVISION) and "weights" in self.arguments:
            raise ValueError(
                f"arguments: weights is a setting beside them: {{name: {self.name}, weights: "
                f"{self.arguments['weights']}}}"
            )
        if self.is_plain and (self.arguments or self.batch_norm != "shared"):
            raise ValueError(
                f"arguments and batch_norm: {self.name} has none; its size is the scenario's "
                "width, activation and number of layers"
            )
        return self

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        """Write it as a suite does: only settings that are not at their defaults."""
        fields = type(self).model_fields
        default = {name: fields[name].get_default(call_default_factory=True) for name in fields}
        written = {n: v for n, v in handler(self).items() if n == "name" or v != default[n]}
        return self.name if len(written) == 1 else written

    def __str__(self) -> str:
        return self.name

    @property
    def is_plain(self) -> bool:
        """Whether a family builds it layer by layer."""
        return self.name in PLAIN

    @property
    def is_registered(self) -> bool:
        """Whether its name has no prefix."""
        return ":" not in self.name

    @property
    def is_known(self) -> bool:
        """Whether there is such a network; names with a prefix are not checked."""
        return not self.is_registered or self.is_plain or self.name in NETWORKS
