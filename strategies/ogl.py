"""Orthogonal gradient learning."""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.architectures import edges_of
from palimpsest.strategies.base.facts import RANK, Facts
from palimpsest.strategies.base.grown import fitted
from palimpsest.strategies.base.hooks import Configured, Task
from palimpsest.strategies.base.network import (
    Network,
    differentiable,
    evaluation_mode,
    requiring_gradients,
)
from palimpsest.strategies.base.settings import Count, Seed, StrategySettings, Whole
from palimpsest.strategies.base.sparse import changing_gradients, dense_gradients
from palimpsest.strategies.curvature.fisher import draw


class OGLSettings(StrategySettings):
    """Settings of orthogonal gradient learning."""

    rank: Whole = Field(
        20,
        le=10**6,
        description="q_max: directions kept of each tensor, at most half its elements. 0 is "
        "fine-tuning.",
    )
    scope: Literal["all", "ops"] = Field(
        "all",
        description="Whose gradients are projected. 'all': all parameters that earlier models "
        "used. 'ops': of a supernet, those that belong to a choice, as in the paper.",
    )
    gradient: Literal["logits", "loss"] = Field(
        "logits",
        description="Whose gradients an earlier model's directions are. 'logits': of the true "
        "class's logit, of each of some samples (orthogonal gradient descent), which protects the "
        "outputs to first order. 'loss': the mean one of its training (the paper).",
    )
    samples: Count = Field(
        20, le=10**6, description="Training samples of a model whose logits have a direction each."
    )
    threshold: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="tau: directions whose singular value is at most that share of the largest "
        "one of their tensor are dropped.",
    )
    seed: Seed = 0

    def facts(self, facts: Facts) -> Facts:
        """Add that ``scope: ops`` needs edges."""
        return facts.needing(edges="scope: ops") if self.scope == "ops" else facts


class OGL(Configured):
    """Change shared parameters only across the directions of earlier models' gradients (OGL).

    For each tensor that earlier models used there is an orthonormal basis U (d, q). While a later
    one trains, its gradient is projected before each step, ``g <- g - U (U^T g)``, and so is the
    step, since weight decay, adaptive optimizers and momentum that is kept would leave the
    complement of U. A tensor without a basis is trained as ever. After a training the directions of
    the model just trained join the basis. With V their unit vectors and S the singular values that
    belong to U::

        U S' W^T = svd([U diag(S), V])    U <- its first q columns, S <- the first q of S'

    where q is at most ``rank`` and half of d (else nothing of a small tensor would be left to
    train), and singular values up to ``threshold`` times the largest are dropped. This is
    incremental PCA: memory grows with models up to ``rank`` directions of each tensor, and the
    directions that many models had stay.

    The directions are those of the true class's logit for ``samples`` samples, in evaluation mode,
    so that these logits stay as they are, to first order; of a sequence, of the mean over its
    tokens. Or, with ``gradient: loss``, they are that of the mean gradient of the loss over the
    batches of the training, before it is projected (the paper). Near the end of a training that is
    little but noise, and not where the loss would rise most: it protects little.

    A reconstruction: the published algorithm was not to be had, only its abstract, headings and
    one lemma. What is not in these is decided here, such as the incremental PCA, the projection of
    the step and the logits.

    Source: Ma et al., Defying Multi-Model Forgetting in One-Shot Neural Architecture Search Using
    Orthogonal Gradient Learning, IEEE Transactions on Computers 74(5), 2025. For the logits:
    Farajtabar et al., Orthogonal Gradient Descent for Continual Learning, AISTATS 2020, the variant
    OGD-GTL.

    Attributes:
        bases: U, of shape (elements, q), by parameter name.

    Limits:
        A reconstruction. It protects to first order, so that long steps leave what they should not,
        and only what the samples show. Directions of all models join one basis of at most ``rank``
        columns, whose least ones are lost first. Memory is up to ``rank`` times the parameters'.
        With ``gradient: loss``, as published, it hardly protects: on the kit's two models the first
        one's loss rises by 0.08, by 0.10 with fine-tuning and by 0.02 with ``logits``.
    """

    facts = Facts(
        name="ogl",
        summary="orthogonal gradients: change shared parameters only across earlier models' "
        "gradients",
        source="Ma et al., IEEE Transactions on Computers 2025, as far as it is told; "
        "Farajtabar et al., AISTATS 2020",
        dial=RANK,
        memory="linear",
        online=True,
    )
    Settings = OGLSettings
    settings: OGLSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.bases: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}
        self._shapes: dict[str, torch.Size] = {}
        self._parameters: dict[str, Parameter] = {}
        self._sums: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}
        self._models_seen = 0

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return the share of a tensor's directions that its basis leaves, ``1 - q / d``."""
        return {name: 1 - basis.shape[1] / basis.shape[0] for name, basis in self.bases.items()}

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network that has no choices, where the scope is ``ops``."""
        if self.settings.scope == "ops":
            edges_of(model, "scope: ops")

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look up the model's parameters, which may have grown since the last model.

        Raises:
            NoArchitecturesError: The scope is ``ops``, and the model has no choices.
        """
        self._parameters = dict(strategy.model.named_parameters())
        if self.settings.scope == "ops":
            edges = edges_of(strategy.model, "scope: ops")
            self._parameters = {n: p for n, p in self._parameters.items() if n in edges}
        self._sums = {}
        for name in self.bases.keys() & self._parameters.keys():
            self._fit_to_grown(name, self._parameters[name].shape)

    @torch.no_grad()
    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add up the loss's gradients, or note which parameters have one."""
        own = {n: p for n, p in self._parameters.items() if p.grad is not None}
        if self.settings.rank == 0 or not own:
            return
        for name in own.keys() - self._sums.keys():
            self._sums[name] = torch.zeros_like(own[name])
        if self.settings.gradient == "loss":
            sums = [self._sums[name] for name in own]
            torch._foreach_add_(sums, dense_gradients(own.values()))

    @torch.no_grad()
    def before_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Project the gradients, which may have been clipped since, and note the weights."""
        self._before = {}
        for name, basis in self.bases.items():
            parameter = self._parameters.get(name)
            if parameter is not None and parameter.grad is not None:
                self._before[name] = parameter.detach().clone()
                with changing_gradients([parameter]) as (gradient,):
                    gradient.copy_(_across(basis, gradient))

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Project the step."""
        for name, before in self._before.items():
            parameter = self._parameters[name]
            parameter.copy_(before + _across(self.bases[name], parameter - before))
        self._before = {}

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the directions of the model just trained to the bases."""
        own = {name: self._parameters[name] for name in self._sums}
        if self.settings.gradient == "loss":
            found = {name: self._sums[name].reshape(-1, 1) for name in own}
        else:
            found = self._of_logits(strategy, own) if own else {}
        for name, directions in found.items():
            self._add(name, directions, own[name].shape)
        self._sums = {}
        self._models_seen += 1

    @torch.no_grad()
    def _add(self, name: str, directions: Tensor, shape: torch.Size) -> None:
        """Add the columns of (d, n) to a tensor's basis, each as a unit vector; zeros are none."""
        columns = directions.double()
        lengths = columns.norm(dim=0)
        columns = (columns / lengths.clamp_min(1e-300))[:, lengths > 0]
        if name in self.bases:
            columns = torch.cat([self.bases[name] * self._values[name], columns], dim=1)
        most = min(self.settings.rank, len(columns) // 2)
        if most == 0 or columns.shape[1] == 0:
            return
        basis, values, _ = torch.linalg.svd(columns, full_matrices=False)
        kept = int((values[:most] > self.settings.threshold * values[0]).sum())
        self.bases[name] = basis[:, :kept].to(directions.dtype)
        self._values[name], self._shapes[name] = values[:kept], shape

    def _of_logits(self, strategy: Any, parameters: dict[str, Parameter]) -> dict[str, Tensor]:
        """Return the gradients (d, samples) of some samples' true logits."""
        generator = torch.Generator().manual_seed(self.settings.seed + self._models_seen)
        x, y, labels = draw(strategy.adapted_dataset, self.settings.samples, generator)
        model: nn.Module = strategy.model
        wanted = list(parameters.values())
        rows: list[tuple[Tensor, ...]] = []
        with evaluation_mode(model), requiring_gradients(model), differentiable(model):
            for label in sorted(set(labels.tolist())):
                own = labels == label
                with torch.enable_grad():  # in one batch, where layers may mix its samples
                    logits = Network(model, label)(x[own].to(strategy.device))
                    true = [_true(row, target) for row, target in zip(logits, y[own], strict=True)]
                options: dict[str, Any] = {
                    "retain_graph": True,
                    "allow_unused": True,
                    "materialize_grads": True,
                }
                rows += [torch.autograd.grad(each, wanted, **options) for each in true]
        columns = zip(*rows, strict=True)
        return {
            name: torch.stack([gradient.reshape(-1) for gradient in each], dim=1)
            for name, each in zip(parameters, columns, strict=True)
        }

    def _fit_to_grown(self, name: str, shape: torch.Size) -> None:
        """Extend a basis by 0 to a parameter that has grown, such as a head."""
        if self._shapes[name] == shape:
            return
        old, columns = self._shapes[name], self.bases[name].unbind(dim=1)
        grown = [fitted(column.view(old), shape).reshape(-1) for column in columns]
        self.bases[name], self._shapes[name] = torch.stack(grown, dim=1), shape


def _across(basis: Tensor, vector: Tensor) -> Tensor:
    """Return what of a tensor is orthogonal to a basis (elements, q)."""
    flat = vector.reshape(-1)
    for _repeated in range(2):  # the second time removes what rounding has left
        flat = flat - basis @ (basis.T @ flat)
    return flat.view_as(vector)


def _true(logits: Tensor, target: Tensor) -> Tensor:
    """Return the true class's logit (C,), or the mean of those of a sequence's tokens (L, C).

    Tokens with a negative target are padding.
    """
    rows, classes = logits.reshape(-1, logits.shape[-1]), target.reshape(-1).to(logits.device)
    known = classes >= 0
    return rows[known].gather(1, classes[known, None]).mean()
