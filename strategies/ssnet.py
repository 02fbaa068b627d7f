"""Supermasks whose weights are trained, shared with earlier models (SSNet)."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from palimpsest.strategies.base.facts import DENSITY, Facts
from palimpsest.strategies.base.settings import Count, PositiveShare
from palimpsest.strategies.masks.weight_masks import MaskedLayer, masked_layers, packed, unpacked
from palimpsest.strategies.supsup import SupSup, SupSupSettings


class SSNetSettings(SupSupSettings):
    """Settings of supermasks whose weights are trained."""

    density: PositiveShare = Field(
        0.1, description="Share of the weights of a layer that a model's mask keeps."
    )
    mask_steps: Count = Field(
        100, description="Steps of a training that learn the mask; the others train weights."
    )

    def facts(self, facts: Facts) -> Facts:
        """Add that trainings need more steps than ``mask_steps``."""
        return super().facts(facts).needing(steps=("mask_steps", self.mask_steps))


class SSNet(SupSup):
    """Learn a mask, then train the weights inside it (SSNet).

    The first ``mask_steps`` steps of a training are those of ``supsup``. Then the masks are fixed,
    and the other steps train the weights, of which only the editable ones move; everything else
    comes back to its value after each step, whatever the optimizer. Here all weights of the mask
    are editable, also those that earlier models use, which therefore forget. ``exssnet`` leaves out
    those.

    Source: Yadav & Bansal, Exclusive Supermask Subnetwork Training for Continual Learning, Findings
    of ACL 2023, section 3, and its program, github.com/prateeky2806/exessnet. There are no separate
    heads in it, and its two phases are counted in epochs.

    Attributes:
        masks: The packed masks of each model that has been trained, by layer.

    Limits:
        Those of ``supsup``, and it forgets: weights are trained that earlier masks have, too. A
        training needs more than ``mask_steps`` steps, and is refused before anything trains if it
        has no more.
    """

    facts = Facts(
        name="ssnet",
        summary="a mask for each model, then training of all weights inside it, which earlier "
        "ones share",
        source="Yadav & Bansal, Exclusive Supermask Subnetwork Training, Findings of ACL 2023",
        dial=DENSITY,
        memory="linear",
        told=True,
        keeps_statistics=True,
        needs_its_model=True,
        brief={"mask_steps": 3},
    )
    Settings = SSNetSettings
    settings: SSNetSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._steps = 0
        self._held: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}

    def editable(self, name: str, mask: Tensor) -> Tensor:
        """Return which weights of a layer the model that trains may change.

        Args:
            name: Of the layer.
            mask: The model's mask, as booleans.
        """
        return mask

    def adapt(self, model: nn.Module, index: int) -> None:
        """Wrap the layers, and begin the scores of a model that is to train."""
        if self.begins_training:
            self._steps, self._held = 0, {}
        super().adapt(model, index)
        self._free_weights(masked_layers(model))

    @torch.no_grad()
    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the weights before the step."""
        super().before_update(strategy)
        layers = masked_layers(strategy.model)
        self._before = {name: layers[name].weight.clone() for name in self._held}

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Put back what must not move; fix the masks when their steps are over."""
        layers = masked_layers(strategy.model)
        for name, before in self._before.items():
            layers[name].weight.lerp_(before, self._held[name])  # exactly, at 0 and 1
        self._before = {}
        self._steps += 1
        if self._steps == self.settings.mask_steps:
            self._fix(layers)

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return which share of the weights a mask of all of them would let a model change."""
        shares = super().free(model)
        for name, layer in masked_layers(model).items():
            weights = self.editable(name, torch.ones_like(layer.weight, dtype=torch.bool))
            shares[f"{name}.layer.weight"] = weights.double().mean().item()
        return shares

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep the masks and the running statistics."""
        layers = masked_layers(strategy.model)
        if not self._held:
            self._fix(layers)
        index = int(strategy.experience.current_experience)
        self.ended(strategy.model, index)
        self.masks[index] = {}
        for name, layer in layers.items():
            if layer.mask is not None:
                self.masks[index][name] = packed(layer.mask.bool())
            layer.mask = None
            layer.scores.clear()
            layer.weight.requires_grad_(False)
        self._held = {}

    def _fix(self, layers: dict[str, MaskedLayer]) -> None:
        for name, layer in layers.items():
            if name in self._used:
                mask = layer.chosen()
                self._held[name] = (~self.editable(name, mask)).to(layer.weight)
                layer.mask = mask.to(layer.weight)
            layer.learns = None
        self._free_weights(layers)

    def _free_weights(self, layers: dict[str, MaskedLayer]) -> None:
        """Let the weights be trained in place of the scores, once the masks are fixed."""
        for name in self._held:
            layers[name].weight.requires_grad_(True)
            layers[name].scores.requires_grad_(False)

    def _earlier(self, name: str, like: Tensor) -> Tensor:
        """Return which weights of a layer some earlier model uses."""
        used = torch.zeros_like(like)
        for masks in self.masks.values():
            if name in masks:
                used |= unpacked(masks[name], like)
        return used
