"""The common mechanism of strategies that learn a posterior over the weights."""

from collections.abc import Iterator, Sequence, Sized
from contextlib import AbstractContextManager
from itertools import accumulate
from math import log
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.hooks import Hooked, Task
from palimpsest.strategies.base.settings import NonNegative, Positive, Seed, StrategySettings
from palimpsest.strategies.base.used_parameters import NotesUse
from palimpsest.strategies.posteriors.gaussian import (
    Gaussian,
    divergence,
    require_variances,
    slopes,
    unsound,
)
from palimpsest.strategies.posteriors.layers import (
    PosteriorLayer,
    add_posteriors,
    drawn,
    posterior_layers,
)


class PosteriorSettings(StrategySettings):
    """The settings of every variational posterior."""

    beta: NonNegative = Field(
        1.0,
        description="Weight of the divergence from earlier posteriors. A step sees mean loss + "
        "beta * KL / N, with N the samples of a pass over the training's data; 1 is the evidence "
        "lower bound. 0 is training with noise, and holds nothing.",
    )
    log_variance: float = Field(
        -6.0,
        ge=-60,
        le=5,
        description="Logarithm of the variance that the posterior of each weight begins with. The "
        "larger, the more noise while training; deep networks take less, -8 to -16.",
    )
    prior_std: Positive | None = Field(
        None,
        description="The prior of what no earlier model used is N(0, prior_std^2). null: it is the "
        "posterior that the network begins with, so that the divergence begins at 0.",
    )
    temper: Literal["none", "models"] = Field(
        "none",
        description="How often the data count. 'none': once for each model. 'models': KL is "
        "multiplied by M, the experiences of the stream, so that the data count once where all "
        "models learn the same ones.",
    )
    seed: Seed = 0


class Posterior(Hooked, NotesUse):
    """Learn a Gaussian posterior of each weight, held near those of earlier models.

    Weights and biases of linear and convolutional layers are means; a log-variance is trained for
    each beside them. Every step draws weights ``mean + sqrt(variance) * noise`` once, for all of
    the batch, and minimises over means and log-variances::

        mean loss at the drawn weights + beta * T / N * sum_i w_i KL(q || q_i)

    N is the number of samples of a pass over the training's data, and T is 1, or with ``temper:
    models`` M, the number of experiences. q_1, q_2, ... are the posteriors at the end of earlier
    trainings, the latest first, for each parameter those of trainings that used it; the last one is
    its prior, which is where it began, or N(0, prior_std^2). Subclasses say how many there are
    (``depth``) and their weights.

    With mean losses, beta = 1 and T = 1 it is the evidence lower bound by N. Where M models learn
    the same data, M trainings count them M times, and variances shrink on; with T = M they count
    once. Gradients of the divergences are closed forms and added before the optimizer's step, after
    the program's clipping, to what has a gradient in that step. So what a model does not use keeps
    its posterior, to the bit.

    In evaluation, and outside of a step, the network has its means. Heads that grow, embeddings,
    normalisation and recurrent layers have no posterior: they are trained as they are, and nothing
    holds them.

    Attributes:
        history: q_1, q_2, ... of each weight and bias, by name.
    """

    Settings = PosteriorSettings
    settings: PosteriorSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.history: dict[str, list[Gaussian]] = {}
        self._generator = torch.Generator().manual_seed(self.settings.seed)
        self._scale = 0.0
        self._diverged: str | None = None

    @property
    def depth(self) -> int:
        """How many posteriors are kept of a parameter; by default the latest."""
        return 1

    def weights(self, count: int) -> list[float]:
        """Return w_1, w_2, ..., which add up to 1; by default all equal.

        Args:
            count: How many posteriors there are, from 1 to ``depth``.
        """
        return [1 / count] * count

    def likelihood_weights(self, count: int) -> list[float]:
        """Return the weights of the likelihoods of the latest models' data, the present first.

        The data of model t - i are in the posterior t - i and later ones, so that they are missing
        in those from i on: the weight is ``w_(i+1) + w_(i+2) + ...``, which is 1 for the present.
        """
        return list(accumulate(reversed(self.weights(count))))[::-1]

    def divergence(self, model: nn.Module) -> Tensor:
        """Return ``sum_i w_i KL(q || q_i)`` over all parameters that have a posterior."""
        total = torch.zeros(())
        for _, q, earlier in self._posteriors(model):
            for weight, p in zip(self.weights(len(earlier)), earlier, strict=True):
                total = total + weight * divergence(q, p).to(total.device)
        return total

    def sampled(
        self, model: nn.Module, index: int, generator: torch.Generator
    ) -> AbstractContextManager[None]:
        """Return a context in which the network has weights drawn from their posteriors."""
        return drawn(model, generator)

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network that has nothing to wrap."""
        self.adapt(model, 0)

    def adapt(self, model: nn.Module, index: int) -> None:
        """Wrap the layers, and note the priors of those that are new.

        Raises:
            ValueError: There is no layer that it can act on.
        """
        add_posteriors(model, self.settings.log_variance)
        layers = posterior_layers(model)
        if not layers:
            raise ValueError(
                f"{type(self).__name__} learns posteriors of linear layers and convolutions, and "
                "the network has none that it can wrap"
            )
        for name, layer in layers.items():
            for own in layer.log_ratios:
                self.history.setdefault(f"{name}.layer.{own}", [self._prior(layer, own)])

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Find the scale of the divergences.

        Raises:
            DivergedError: A posterior has become none in the training before.
            ValueError: The number of experiences is needed and not known, or a posterior is none.
        """
        super().before_training_exp(strategy, *arguments, **keywords)
        require_variances(self._variances(strategy.model), self._diverged)
        times = 1
        if self.settings.temper == "models":
            stream = getattr(strategy.experience, "origin_stream", None)
            if not isinstance(stream, Sized):
                raise ValueError(
                    "temper: models needs to know how many experiences there are, and this "
                    "program's stream does not tell; say temper: none, and a larger beta"
                )
            times = len(stream)
        self._scale = self.settings.beta * times / len(strategy.adapted_dataset)

    def before_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Let the layers that the batch passes through draw their weights."""
        for layer in posterior_layers(strategy.model).values():
            layer.source = self._generator

    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note which parameters the model uses, and put the means in place."""
        self.note_gradients()
        for layer in posterior_layers(strategy.model).values():
            layer.noise, layer.source = {}, None

    @torch.no_grad()
    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the gradients of the divergences."""
        for layer, name, own in _places(strategy.model):
            ratio, earlier = layer.log_ratios[own], self.history[name]
            if ratio.grad is None:
                continue
            q, mean = layer.posterior(own), layer.layer.get_parameter(own)
            for weight, p in zip(self.weights(len(earlier)), earlier, strict=True):
                by_mean, by_log_variance = slopes(q, p)
                if mean.grad is not None:
                    mean.grad.add_(by_mean, alpha=weight * self._scale)
                ratio.grad.add_(by_log_variance, alpha=weight * self._scale)

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Put the posteriors of the model just trained in front of the history."""
        for name, q, earlier in self._posteriors(strategy.model):
            if name in used:
                self.history[name] = [q.copied(), *earlier][: self.depth]
        self._diverged = unsound(self._variances(strategy.model))

    def _variances(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield all variances, each with the name of its parameter."""
        for name, q, earlier in self._posteriors(model):
            for each in (q, *earlier):
                yield name, each.log_variance.detach().exp()

    def _posteriors(self, model: nn.Module) -> Iterator[tuple[str, Gaussian, Sequence[Gaussian]]]:
        """Yield the name, the posterior and the history of each weight and bias that has one."""
        for layer, name, own in _places(model):
            if name in self.history:
                yield name, layer.posterior(own), self.history[name]

    def _prior(self, layer: PosteriorLayer, own: str) -> Gaussian:
        if self.settings.prior_std is None:
            return layer.posterior(own).copied()
        ratio = layer.log_ratios[own].detach()
        return Gaussian(ratio.new_zeros(()), ratio.new_tensor(2 * log(self.settings.prior_std)))


def _places(model: nn.Module) -> Iterator[tuple[PosteriorLayer, str, str]]:
    """Yield each wrapped layer with the names, in the network and in it, of what is trained."""
    for prefix, layer in posterior_layers(model).items():
        for own in layer.log_ratios:
            yield layer, f"{prefix}.layer.{own}", own
