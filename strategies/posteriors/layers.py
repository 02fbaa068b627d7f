"""Layers whose weights have a posterior: a mean and a variance for each element.

A linear or convolutional layer is wrapped. Its weight and bias are the means. The wrapper has a
parameter ``log_ratios`` for each, the logarithm of the variance over the variance that it began
with, so that an optimizer's weight decay draws variances to that, and not to 1. While a draw is
there, the layer computes with ``mean + sqrt(variance) * noise``; otherwise with its means.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from palimpsest.strategies.base.wrapping import places, wrap, wrapped
from palimpsest.strategies.posteriors.gaussian import Gaussian

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""The kinds of layers that have posteriors."""


class PosteriorLayer(nn.Module):
    """A linear or convolutional layer whose weights have a posterior.

    Args:
        layer: The layer.
        log_variance: What the log-variances of all its weights begin with.

    Attributes:
        layer: The layer, with the means.
        log_ratios: By the names ``weight`` and ``bias``, of those that are trained.
        noise: The present draw of standard normal numbers, by the same names; empty: the means.
        source: Where the next forward pass in training mode draws from; ``None``: nowhere.
    """

    def __init__(self, layer: nn.Module, log_variance: float) -> None:
        super().__init__()
        self.layer = layer
        self.start = log_variance
        means = layer.named_parameters(recurse=False)
        self.log_ratios = nn.ParameterDict({
            name: nn.Parameter(torch.zeros_like(mean))
            for name, mean in means
            if mean.requires_grad
        })  # fmt: skip
        self.noise: dict[str, Tensor] = {}
        self.source: torch.Generator | None = None

    @property
    def weight(self) -> Tensor:
        """The weight with which it computes."""
        return self._value("weight")

    @property
    def bias(self) -> Tensor | None:
        """The bias with which it computes, if it has one."""
        return None if self.layer.bias is None else self._value("bias")

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the layer, by its means or by the present draw."""
        if self.source is not None and self.training and not self.noise:
            self.draw(self.source)
        values = {name: self._value(name) for name in self.noise}
        outputs: Tensor = functional_call(self.layer, values, (x,)) if values else self.layer(x)
        return outputs

    def posterior(self, name: str) -> Gaussian:
        """Return the posterior of its ``weight`` or ``bias``, which autograd can follow."""
        return Gaussian(self.layer.get_parameter(name), self.start + self.log_ratios[name])

    def draw(self, generator: torch.Generator) -> None:
        """Draw weights, from a generator on the CPU; the same in every precision."""
        for name, ratio in self.log_ratios.items():
            self.noise[name] = torch.randn(ratio.shape, generator=generator).to(ratio)

    def _value(self, name: str) -> Tensor:
        if name not in self.noise:
            return self.layer.get_parameter(name)
        own = self.posterior(name)
        return own.mean + torch.exp(own.log_variance / 2) * self.noise[name]


def add_posteriors(model: nn.Module, log_variance: float) -> None:
    """Wrap each layer that can have a posterior; those that are wrapped already stay as they are.

    Left out are heads that grow, layers whose weight is not trained, and weights that have another
    place in the network, too, where a draw would not be seen.

    Args:
        model: The network, changed in place.
        log_variance: What log-variances begin with.
    """
    count = places(model)

    def made(layer: nn.Module) -> PosteriorLayer | None:
        if type(layer) not in LAYERS or not layer.weight.requires_grad:
            return None
        if any(count[id(own)] > 1 for own in layer.parameters()):
            return None
        return PosteriorLayer(layer, log_variance)

    wrap(model, PosteriorLayer, made)


def posterior_layers(model: nn.Module) -> dict[str, PosteriorLayer]:
    """Return the wrapped layers of a network, by name."""
    return wrapped(model, PosteriorLayer)


@contextmanager
def drawn(model: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Let a network compute with one draw of its weights while the context lasts."""
    layers = posterior_layers(model).values()
    before = [layer.noise for layer in layers]
    try:
        for layer in layers:
            layer.noise = {}
            layer.draw(generator)
        yield
    finally:
        for layer, noise in zip(layers, before, strict=True):
            layer.noise = noise
