"""The online Laplace approximation with Kronecker-factored curvature."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import STRENGTH, Facts, Needs
from palimpsest.strategies.base.layer_inputs import WeightMatrix, matrices
from palimpsest.strategies.base.settings import Count, NonNegative, Positive
from palimpsest.strategies.base.sparse import changing_gradients
from palimpsest.strategies.base.wrapping import in_several_places
from palimpsest.strategies.curvature.fisher import draw, fisher_of_samples
from palimpsest.strategies.curvature.kronecker import Quadratic
from palimpsest.strategies.curvature.kronecker_factors import LaplaceEstimator, factors_of_labels
from palimpsest.strategies.curvature.kronecker_products import Product, nearest
from palimpsest.strategies.penalty import optimizer_metric
from palimpsest.strategies.penalty.laplace_curvature import LARGEST, NO_PRECISION, Diagonal, Spectra
from palimpsest.strategies.penalty.settings import PenaltySettings
from palimpsest.strategies.penalty.shared_parameters import SharedParameterPenalty
from palimpsest.strategies.posteriors.gaussian import broken


class LaplaceSettings(PenaltySettings):
    """Settings of the Kronecker-factored online Laplace approximation."""

    strength: NonNegative = Field(
        1.0,
        description="Weight of the penalty, strength/2 * sum_k v^T F_k v, F_k the mean Fisher "
        "information of a sample. 0 is fine-tuning; the number of training samples is Bayes' rule; "
        "in the limit, directions without curvature stay free.",
    )
    form: Literal["online", "per_model", "merged"] = Field(
        "online",
        description="'online': the sum of all models' products, anchored at the latest weights "
        "(Ritter et al. 2018). 'per_model': the same products, each with its own anchor. 'merged': "
        "as online, with the one product nearest to the sum in its place, so that neither memory "
        "nor time grow with models.",
    )
    fisher: LaplaceEstimator = Field(
        "exact",
        description="'exact': expectation over all classes under the model. 'monte_carlo': one "
        "label per sample, drawn from the model. 'empirical': the true labels.",
    )
    samples: Count = Field(
        1000, description="Training samples that the Fisher information is averaged over."
    )
    prior_precision: Positive = Field(
        1000.0,
        description="What is added to the precision of every weight of the posterior that is "
        "sampled from; 1000 is about that of initial weights behind some hundred inputs. No effect "
        "on training.",
    )


class Laplace(SharedParameterPenalty):
    """Protect weights together with those of the same layer (online Laplace, Kronecker-factored).

    The loss of a new model has a term ``strength/2 * sum_k sum_l sum(V * G_kl V A_kl)`` over the
    earlier models k and the linear layers and convolutions l. V is the distance of the weight
    (outputs, inputs), with the bias as one more column, from its anchor, and ``F_kl = A_kl (x)
    G_kl`` the layer's block of the Fisher information of model k, see ``kronecker_factors.py``. So
    a step along which the layer's outputs for earlier inputs do not change costs nothing, unlike
    in EWC, which has the diagonal of F alone; ``wpl_schur`` has all of it, also between layers.
    Other
    parameters (normalisation, embeddings, grouped convolutions, and weights that several layers
    share) have their diagonal Fisher information, as in EWC.

    The sum of products is not a product. It is kept as it is, so that memory and the time of a step
    grow linearly with models, or replaced by the nearest product (``form: merged``). The anchor is
    at the latest weights, since that is where the loss with its penalty was smallest
    (``form: per_model``: each product has its own). The step is solved in the metric of the
    optimizer, see ``kronecker.py``.

    The posterior of model t is ``N(theta, (sum_(k<=t) n_k F_k + prior)^-1)``, with n_k training
    samples and whatever the strength; that of a layer with several products is that of the nearest
    one. ``sampled`` draws from it. Parameters that nothing was learned about stay as they are.

    Source: Ritter, Botev & Barber, Online Structured Laplace Approximations For Overcoming
    Catastrophic Forgetting, NeurIPS 2018; posterior: Ritter, Botev & Barber, A Scalable Laplace
    Approximation for Neural Networks, ICLR 2018. That their online form keeps one anchor is told
    from memory; the nearest product and the solution in the optimizer's metric are additions.

    Limits:
        A (x) G takes the inputs of a layer and the gradients by its outputs for independent, and of
        a convolution its positions, too; between layers there is nothing. Memory is inputs squared
        plus outputs squared for each layer and model: 2.5 MB for 784 inputs, 85 MB for a
        convolution of 3x3 over 512 channels, and trainings of visits count as models; ``form:
        merged`` keeps one product. A step behind Adam takes some iterations of conjugate gradients,
        each with a few products of these matrices: beside 128 outputs and 784 inputs, on one core,
        20 to 30 ms with one earlier model and 70 with two, where a training step takes 1; and the
        factors are decomposed after 1, 2, 4, ... steps. The first steps of a training, where the
        metric is roughest, take some hundred iterations. Steps are solved to 2 % of the way, which
        changes the path and not where training rests. A weight that a network uses both in its
        layer and elsewhere, through a function, has only the curvature of its layer. Running
        statistics of normalisation are not protected.
    """

    facts = Facts(
        name="laplace",
        summary="online Laplace: Kronecker-factored Fisher information, between EWC and wpl_schur",
        source="Ritter, Botev & Barber, Online Structured Laplace Approximations, NeurIPS 2018",
        dial=STRENGTH,
        memory="linear",
        ends_only=True,
        needs=Needs(classes="laplace", single_samples="laplace"),
    )
    Settings = LaplaceSettings
    settings: LaplaceSettings
    needs_cross_entropy = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._quadratics: dict[str, Quadratic] = {}
        self._counts: dict[str, list[float]] = {}
        self._rest: dict[str, Diagonal] = {}
        self._layers: dict[str, WeightMatrix] = {}
        self._before: dict[str, Tensor] = {}
        self._posterior = Spectra()
        self._diverged: str | None = None

    def penalty(self, model: nn.Module) -> Tensor:
        """Return the penalty at a network's current weights, see ``SharedParameterPenalty``."""
        terms = [
            self._quadratics[layer.name].value(layer.joined(list(layer.parameters.values())))
            for layer in matrices(model)
            if layer.name in self._quadratics
        ]
        for name, p in model.named_parameters():
            if name in self._rest:
                terms.append(self._rest[name].value(p))
        return self.settings.strength * torch.stack(terms).sum() if terms else torch.zeros(())

    @contextmanager
    def sampled(self, model: nn.Module, index: int, generator: torch.Generator) -> Iterator[None]:
        """Put in weights drawn from the posterior, see ``strategies.base.hooks.Samples``.

        Raises:
            DivergedError: A posterior has become none in the training before.
            ValueError: A posterior is none.
        """
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        try:
            with torch.no_grad():
                self._put_in(model, generator)
            yield
        finally:
            with torch.no_grad():
                for name, p in model.named_parameters():
                    p.copy_(before[name])

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look up the model's parameters, which may have grown since the last model.

        Raises:
            DivergedError: A posterior has become none in the training before.
            ValueError: A posterior is none, or see ``SharedParameterPenalty``.
        """
        super().before_training_exp(strategy)
        self._posterior = Spectra()
        self._layers = {layer.name: layer for layer in matrices(strategy.model)}
        for name in self._quadratics.keys() & self._layers.keys():
            layer = self._layers[name]
            self._quadratics[name].fit(layer.joined(list(layer.parameters.values())).detach())
        for name in self._rest.keys() & self._parameters.keys():
            self._rest[name].fit(self._parameters[name].detach())
        unsound = self._unsound()
        if unsound is not None:
            raise broken(unsound, NO_PRECISION, self._diverged)

    @torch.no_grad()
    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the penalty's gradient, if it is applied as one, or else note the values."""
        self.note_gradients()
        if self.settings.strength == 0:
            return
        penalised = self._penalised()
        if self.settings.application != "gradient":
            self._before = {name: self._parameters[name].detach().clone() for name in penalised}
            return
        for name, slope in self._slopes(penalised).items():
            parameter = self._parameters[name]
            with changing_gradients([parameter]) as (gradient,):
                gradient.add_(slope, alpha=self.settings.strength)

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Take the proximal step, if the penalty is applied as one."""
        if not self._before:
            return
        metric = self._metric(strategy.optimizer)
        for layer in self._penalised_layers(metric):
            own = layer.parameters
            now = [p.detach() for p in own.values()]
            moved = self._quadratics[layer.name].proximal_step(
                layer.joined([self._before.get(n, p) for n, p in own.items()]),
                layer.joined(now),
                layer.joined([metric.get(n, torch.zeros_like(p)) for n, p in own.items()]),
                self.settings.strength,
            )
            for parameter, value in zip(now, layer.parted(moved), strict=True):
                parameter.copy_(value)
        for name in metric.keys() & self._rest.keys():
            own_metric = metric[name] * self.settings.strength
            self._rest[name].proximal_step_(self._parameters[name], own_metric)
        self._before = {}

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Estimate the Fisher information of the model just trained, and add it."""
        self._before = {}
        for quadratic in self._quadratics.values():
            quadratic.forget_basis()
        self._posterior = Spectra()
        if not used:
            return  # everything is frozen
        products, diagonals = self._fisher(strategy, used)
        count = float(len(strategy.adapted_dataset))
        for name, product in products.items():
            layer = self._layers[name]
            anchor = layer.joined([p.detach() for p in layer.parameters.values()])
            self._add(name, product, anchor, count)
        for name, fisher in diagonals.items():
            value, per_model = used[name].detach().clone(), self.settings.form == "per_model"
            known = self._rest.get(name)
            one = Diagonal(fisher, value, count * fisher)
            self._rest[name] = one if known is None else known.plus(one, own_anchors=per_model)
        self._diverged = self._unsound()

    def _unsound(self) -> str | None:
        """Return the name of the first layer or parameter whose posterior is none."""
        for name, quadratic in self._quadratics.items():
            if not all(product.is_semidefinite for product in quadratic.products):
                return name
        return next((name for name, own in self._rest.items() if not own.is_sound), None)

    def _add(self, name: str, product: Product, anchor: Tensor, count: float) -> None:
        """Add a layer's product to those of earlier models."""
        known = self._quadratics.get(name, Quadratic([], []))
        products, anchors = [*known.products, product], [anchor]
        if self.settings.form == "per_model":
            anchors = [*known.anchors, anchor]
        elif self.settings.form == "merged":
            products = [nearest(products, [1.0] * len(products))]
        self._quadratics[name] = Quadratic(products, anchors)
        self._counts.setdefault(name, []).append(count)

    def _fisher(
        self, strategy: Any, used: Mapping[str, Parameter]
    ) -> tuple[dict[str, Product], dict[str, Tensor]]:
        """Return the Fisher information of the model just trained: of layers, and of the rest."""
        settings = self.settings
        generator = torch.Generator().manual_seed(settings.seed + self.models_seen)
        x, y, labels = draw(strategy.adapted_dataset, settings.samples, generator)
        tied = in_several_places(strategy.model)
        layers = [
            layer
            for layer in self._layers.values()
            if layer.parameters.keys() <= used.keys() - tied
        ]
        products = factors_of_labels(
            strategy.model,
            layers,
            x,
            y,
            labels,
            device=strategy.device,
            estimator=settings.fisher,
            generator=generator,
        )
        names = {n for layer in layers if layer.name in products for n in layer.parameters}
        rest = {name: p for name, p in used.items() if name not in names}
        if not rest:
            return products, {}
        return products, fisher_of_samples(
            strategy, rest, x, y, labels, estimator=settings.fisher, generator=generator
        )

    def _penalised(self) -> set[str]:
        """Return the names of the parameters that this step shares with earlier models."""
        known = {*self._rest}
        for name in self._quadratics.keys() & self._layers.keys():
            known |= self._layers[name].parameters.keys()
        return {n for n, p in self._parameters.items() if p.grad is not None and n in known}

    def _penalised_layers(self, names: Collection[str]) -> list[WeightMatrix]:
        """Return the layers that have curvature and one of some parameters."""
        return [
            layer
            for name, layer in self._layers.items()
            if name in self._quadratics and not layer.parameters.keys().isdisjoint(names)
        ]

    def _slopes(self, names: Collection[str]) -> dict[str, Tensor]:
        """Return the gradient of the penalty, without its strength, by some parameters."""
        slopes = {
            name: own.gradient(self._parameters[name])
            for name, own in self._rest.items()
            if name in names
        }
        for layer in self._penalised_layers(names):
            own = layer.parameters
            slope = self._quadratics[layer.name].gradient(layer.joined(list(own.values())))
            for name, part in zip(own, layer.parted(slope), strict=True):
                if name in names:
                    slopes[name] = slopes[name] + part if name in slopes else part
        return slopes

    def _metric(self, optimizer: Any) -> dict[str, Tensor]:
        """Return how far the optimizer moves the parameters of this step per unit of gradient."""
        place = optimizer_metric.place(optimizer)
        found: dict[str, Tensor] = {}
        for group, rate in enumerate(self._rates(optimizer)):
            own = {n: self._parameters[n].detach() for n in self._before}
            own = {n: p for n, p in own.items() if place.get(id(self._parameters[n])) == group}
            divided_by = None
            if own and self.settings.application == "proximal":
                divided_by = optimizer_metric.denominators(
                    optimizer, group, [self._parameters[n] for n in own]
                )
            if divided_by is None:
                found |= {name: torch.full_like(p, rate) for name, p in own.items()}
                continue
            for name, d in zip(own, divided_by.tensors(), strict=True):
                found[name] = (rate / d).clamp_(max=LARGEST)
        return found

    def _put_in(self, model: nn.Module, generator: torch.Generator) -> None:
        """Add a draw from the posterior, minus its mean, to the weights."""
        if self._diverged is not None:
            raise broken(self._diverged, NO_PRECISION, self._diverged)
        prior = self.settings.prior_precision
        for layer in matrices(model):
            known = self._quadratics.get(layer.name)
            parameters = list(layer.parameters.values())
            if known and layer.joined(parameters).shape == known.anchors[0].shape:
                spectrum = self._posterior.of(layer.name, known.products, self._weights(layer.name))
                noise = torch.randn(spectrum.values.shape, generator=generator)
                parts = layer.parted(spectrum.draw(prior, noise.to(spectrum.values)))
                for parameter, part in zip(parameters, parts, strict=True):
                    parameter.add_(part)
        for name, parameter in model.named_parameters():
            own = self._rest.get(name)
            if own and own.precision.shape == parameter.shape:
                if not own.is_sound:
                    raise broken(name, NO_PRECISION)
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.add_(own.draw(prior, noise))

    def _weights(self, name: str) -> list[float]:
        """Return what a layer's products are multiplied by in the posterior."""
        counts = self._counts[name]
        if self.settings.form != "merged":
            return counts
        return [sum(counts) / len(counts)]  # the product is already that of all models
