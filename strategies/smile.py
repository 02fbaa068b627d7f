"""Low-rank differences of shared weights, one for each model (SMILE)."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from palimpsest.strategies.base.facts import Dial, Facts
from palimpsest.strategies.base.grown import fitted
from palimpsest.strategies.base.layer_inputs import WeightMatrix, matrices
from palimpsest.strategies.base.network import replaced_forward
from palimpsest.strategies.base.settings import Count, Whole
from palimpsest.strategies.merging.merging import MergeSettings, Merging, Values, fill, placed


class SMILESettings(MergeSettings):
    """Settings of low-rank experts."""

    start: Literal["first", "initial"] = Field(
        "first",
        description="Where the training of a shared parameter begins. 'first': at its value after "
        "the first model that used it, whose difference is then 0. 'initial': as the network was "
        "built, which has to be pre-trained.",
    )
    rank: Whole = Field(
        16,
        le=10**6,
        description="k: rank of the difference that is kept of each shared weight of a model. "
        "Where it is no less to keep than the weight, the weight itself is kept. 0: biases and the "
        "like alone.",
    )
    experts: Literal["given", "routed"] = Field(
        "given",
        description="Which model's differences are added. 'given': those of the model that is "
        "evaluated. 'routed': in each layer those whose directions the input has most of; biases "
        "go with them, and what belongs to no such layer is as at the start.",
    )
    gate: Count = Field(
        1,
        description="k_gate: how many directions of an expert the router looks at. No effect where "
        "the model is given.",
    )

    def facts(self, facts: Facts) -> Facts:
        """Tell where it finds out itself which model a sample is of."""
        return replace(super().facts(facts), told=self.experts == "given")

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        if self.experts == "given" and self.differs("gate"):
            raise ValueError("gate has no effect with experts: given: remove it, or say routed")
        if self.experts == "routed" and self.start == "first":
            raise ValueError(
                "experts: routed needs start: initial, since with start: first the differences of "
                "the first model are 0, and no router would choose it"
            )
        return self


class SMILE(Merging):
    """Keep for each model a low-rank difference of the shared weights, and merge nothing (SMILE).

    Of the weight W_t of a linear or convolutional layer, as a matrix of shape (outputs, inputs),
    the best approximation of rank k of its difference from the start is kept::

        W_t - W_0 = U S V^T        W = W_0 + U_k S_k V_k^T

    Where that takes no fewer numbers than the weight, W_t itself is kept: at full rank a model is
    the one that was trained, to the bit. Other shared parameters (biases, normalisation,
    embeddings) are kept whole. The memory of all that grows with each model.

    Each model is evaluated with its own differences, or with ``experts: routed`` with those that
    each layer chooses for each sample (a linear layer: for each vector), as published: those of the
    model with the largest ``||V_g^T x||``, V_g its first ``gate`` right singular vectors, whatever
    their singular values are. Its bias goes with them; what belongs to no such layer is as at the
    start. A difference of 0 has a score of 0. In a convolution, x are all patches of a sample.
    Private parts and running statistics are those of the model that is asked for.

    Source: Tang et al., SMILE: Zero-Shot Sparse Mixture of Low-Rank Experts Construction From
    Pre-Trained Foundation Models, 2024, and its program, github.com/tanganke/fusion_bench. There
    models are always routed, only linear layers have experts, and the ``top_k`` of a softmax over
    the scores count; it is 1 by default, as here, where the largest score is all that matters.

    Attributes:
        factors: ``U_k S_k`` (outputs, k) and ``V_k^T`` (k, inputs) of a model, by name.
        whole: The values that are kept whole of a model, by name.
        gates: With ``experts: routed``, V_g^T (g, inputs) of a model, by name.
        routed: With ``experts: routed``, for how many vectors or samples of a model each expert was
            chosen since the latest training ended: by the name of the layer, model and expert.

    Limits:
        It merges nothing, and has to know which model is evaluated; what it forgets is what the
        rank leaves out, at once and for good. On the turned images of ``task_arithmetic`` the
        average accuracy is 55.5 % at rank 0, 62.7 % at 1, 67.8 % at 2, 79.3 % at 4, 89.6 % at 16
        and 89.8 % whole, in 0.22, 0.24, 0.26, 0.29, 0.48 and 1.10 MB, of which 0.22 MB are the
        start. Each rank is a training, since only what its rank needs is kept. ``routed``, it
        forgets: each layer chooses for itself, a first model whose samples look like a later one's
        is taken for that, and models have to begin at common weights other than their own. With
        ``start: initial`` the first model is kept whole until a second one shares its parameters.
    """

    facts = Facts(
        name="smile",
        summary="keep a low-rank difference of the shared weights for each model, merge nothing",
        source="Tang et al., SMILE, 2024",
        dial=Dial("rank", "ranks", lowest=0, whole=True),
        memory="linear",
        told=True,
        merges=True,
        keeps_statistics=True,
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
        forgets_nothing=True,
    )
    Settings = SMILESettings
    settings: SMILESettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.factors: dict[int, dict[str, tuple[Tensor, Tensor]]] = {}
        self.whole: dict[int, Values] = {}
        self.gates: dict[int, Values] = {}
        self.routed: dict[str, dict[int, dict[int, int]]] = {}

    def take(self, model: nn.Module, index: int, trained: Values, began: Values) -> None:
        """Keep the differences of a model."""
        weights = {weight_of(own) for own in matrices(model)}
        routed, rank, self.routed = self.settings.experts == "routed", self.settings.rank, {}
        for store in (self.factors, self.whole, self.gates):
            store.setdefault(index, {})
        for name, value in trained.items():
            if name not in weights:
                self.whole[index][name] = value
                continue
            difference = (value - self.starts[name]).flatten(1)
            is_smaller = rank * sum(difference.shape) < difference.numel()
            if is_smaller or routed:
                left, right = factored(difference)
                if routed:
                    self.gates[index][name] = right[: self.settings.gate].clone()
            if is_smaller:
                self.factors[index][name] = left[:, :rank].clone(), right[:rank].clone()
                self.whole[index].pop(name, None)
            else:
                self.whole[index][name] = value

    def merged(self, index: int) -> Values:
        """Return the start with a model's own differences, where it has any."""
        values = {name: self.starts[name].clone() for name in self._shared}
        fill(values, self.whole.get(index, {}))
        for name, (left, right) in self.factors.get(index, {}).items():
            shape = (len(left), *values[name].shape[1:])
            values[name] += fitted((left @ right).view(shape), values[name].shape)
        return values

    def evaluating(self, model: nn.Module, index: int) -> AbstractContextManager[None]:
        """Return a context with a model's own differences, or with those that layers choose."""
        if index == self._learning or self.settings.experts == "given":
            return super().evaluating(model, index)
        return self._routing(model, index)

    @contextmanager
    def _routing(self, model: nn.Module, index: int) -> Iterator[None]:
        """Choose differences in each layer whose weight is shared."""
        layers = [own for own in matrices(model) if weight_of(own) in self._shared]
        start = {name: self.starts[name] for name in self._shared}
        models = sorted(self.gates)
        found = {i: {n: v - start[n] for n, v in self.merged(i).items()} for i in models}

        def call(
            own: WeightMatrix, _: nn.Module, forward: Callable[..., Tensor], x: Tensor
        ) -> Tensor:
            name = weight_of(own)
            gates = {i: self.gates[i][name] for i in models if name in self.gates[i]}
            chosen = torch.stack([score(own, x, gate) for gate in gates.values()]).argmax(dim=0)
            outputs = forward(x)
            counts = self.routed.setdefault(own.name, {}).setdefault(index, {})
            for place, i in enumerate(gates):
                some = chosen == place
                counts[i] = counts.get(i, 0) + int(some.sum())
                weight, *bias = (found[i].get(each) for each in own.parameters)
                assert weight is not None
                outputs[some] += applied(own, x[some], weight, *bias)
            return outputs

        with ExitStack() as stack:
            stack.enter_context(placed(model, self.own | start, self.statistics.get(index, {})))
            for own in layers:  # each told with its layer, so that a copy of the network has both
                stack.enter_context(replaced_forward([own.layer], partial(call, own)))
            yield


def weight_of(own: WeightMatrix) -> str:
    """Return the name of a layer's weight."""
    return next(iter(own.parameters))


def factored(difference: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``U S`` and ``V^T`` of a matrix, without singular values of 0."""
    left, values, right = torch.linalg.svd(difference.double(), full_matrices=False)
    small = torch.finfo(difference.dtype).eps * max(difference.shape)
    count = int((values > small * values[:1]).sum())
    dtype = difference.dtype
    return (left[:, :count] * values[:count]).to(dtype), right[:count].to(dtype)


def score(own: WeightMatrix, x: Tensor, gate: Tensor) -> Tensor:
    """Return ``||V_g^T x||`` for each vector of a linear layer, or each sample of a convolution.

    Args:
        own: The layer.
        x: Its input.
        gate: V_g^T, (g, inputs).
    """
    if isinstance(own.layer, nn.Linear):
        return _lengths(linear(x, gate))
    if not len(gate):
        return x.new_zeros(len(x))
    directions = gate.view(len(gate), *own.layer.weight.shape[1:])
    return _lengths(applied(own, x, directions).flatten(1))


def applied(own: WeightMatrix, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the outputs of a layer with another weight and bias."""
    if isinstance(own.layer, nn.Linear):
        return linear(x, weight, bias)
    stride, dilation = own.layer.stride, own.layer.dilation
    return conv2d(x, weight, bias, stride, own.layer.padding, dilation)


def _lengths(rows: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return lengths
