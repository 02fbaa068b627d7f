"""Sums of squared per-sample gradients, layer by layer, without an autograd pass per sample.

The gradient of one sample's loss by a layer's weight follows from the layer's input a_n and the
gradient g_n by its output. For every kind of layer in ``LAYERS`` it has a closed form, which
handles all samples at once::

    linear, one vector per sample    g_n a_n^T           the squares sum to (g^2)^T (a^2)
    linear, T vectors per sample     sum_t g_nt a_nt^T   one matrix product per sample
    convolution                      the same, with patches of the input for a_nt
    transposed convolution           the same, with patches of g_n, and a_n in the place of g_nt
    self-attention                   two linear layers over positions, see ``attention.py``
    normalisation                    sum_t g_nt a_nt     a is the normalised input
    embedding                        sum of g_nt over the positions t of one token
    recurrent                        linear layers over steps, see ``recurrent.py``

The gradient by the bias is sum_t g_nt. Sources: Goodfellow, Efficient per-example gradient
computations, 2015 (linear layers); Rochette et al., Efficient per-example gradient computations
in convolutional neural networks, 2019.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from palimpsest.strategies.curvature.per_sample.attention import covers_attention

_CHUNK_ELEMENTS = 2**18
"""Elements of per-sample gradients formed at once; more do not fit into the processor's cache."""


class SquaredGradients(ABC):
    """Squared gradients of a layer's weight and bias, summed over samples and backward passes.

    Attributes:
        elements: How many elements this object holds for all samples.
    """

    elements: int

    @abstractmethod
    def add(self, gradient: Tensor) -> None:
        """Add a backward pass: the gradient by the layer's output, samples first."""

    @abstractmethod
    def sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums for weight and bias, with elements in order but in any shape."""


class _Vectors(SquaredGradients):
    """A matrix that multiplies one vector per sample: the gradient is an outer product.

    Args:
        inputs: (N, I).
        outputs: (N, O), for the shape.
    """

    def __init__(self, inputs: Tensor, outputs: Tensor) -> None:
        self._inputs = inputs
        self._squares = torch.zeros_like(outputs)
        self.elements = inputs.numel() + outputs.numel()

    def add(self, gradient: Tensor) -> None:
        """Add the squares; the inputs, which all passes share, enter in ``sums``."""
        gradient = gradient.reshape(self._squares.shape)
        self._squares.addcmul_(gradient, gradient)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return (O, I) and (O,)."""
        return self._squares.T @ self._inputs.square(), self._squares.sum(dim=0)


class _Matrices(SquaredGradients):
    """A matrix, possibly one for each of G groups, that multiplies T vectors per sample.

    Args:
        inputs: (N, G, I, T).
        outputs: (N, G, O, T), for the shape.
        arrange: Brings the layer's output into the shape of ``outputs``.
    """

    def __init__(
        self, inputs: Tensor, outputs: Tensor, arrange: Callable[[Tensor], Tensor]
    ) -> None:
        _, groups, n_outputs, _ = outputs.shape
        self._inputs = inputs
        self._arrange = arrange
        self._weight = inputs.new_zeros(groups, n_outputs, inputs.shape[2])
        self._bias = inputs.new_zeros(groups, n_outputs)
        self.elements = inputs.numel() + outputs.numel()

    def add(self, gradient: Tensor) -> None:
        """Form the gradients of a few samples at a time, and add their squares."""
        gradient = self._arrange(gradient)
        self._bias += gradient.sum(dim=-1).square_().sum(dim=0)
        size = max(1, _CHUNK_ELEMENTS // self._weight.numel())
        parts = zip(torch.split(gradient, size), torch.split(self._inputs, size), strict=True)
        for g, a in parts:
            self._weight += (g @ a.mT).square_().sum(dim=0)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return (G, O, I) and (G, O)."""
        return self._weight, self._bias


class _Transposed(SquaredGradients):
    """A transposed convolution: each input adds the kernel, times itself, to a patch of outputs.

    Args:
        layer: The layer.
        inputs: (N, ..., C, *space).
        outputs: (N, ..., O, *space), for the shape.
    """

    def __init__(self, layer: Any, inputs: Tensor, outputs: Tensor) -> None:
        spatial = len(layer.kernel_size)
        positions = inputs.shape[inputs.ndim - spatial :].numel()
        self._layer, self._spatial, self._positions = layer, spatial, positions
        self._shape = outputs.shape
        self._space = inputs.shape[inputs.ndim - spatial :]
        self._inputs = self._arrange(inputs)
        self._weight = torch.zeros_like(layer.weight, dtype=inputs.dtype).detach()
        self._bias = inputs.new_zeros(outputs.shape[outputs.ndim - spatial - 1])
        self.elements = inputs.numel() + outputs.numel()

    def add(self, gradient: Tensor) -> None:
        """Form the gradients of a few samples at a time, and add their squares."""
        layer, spatial = self._layer, self._spatial
        images = gradient.reshape(self._shape).flatten(0, -spatial - 2)
        channels = images.flatten(2).sum(dim=-1)
        self._bias += channels.view(len(gradient), -1, channels.shape[1]).sum(dim=1).square().sum(0)
        for i in range(spatial):
            stride, dilation = layer.stride[i], layer.dilation[i]
            reach = dilation * (layer.kernel_size[i] - 1) + 1
            left = layer.padding[i]
            right = stride * (self._space[i] - 1) + reach - left - images.shape[2 + i]
            margins = [0, 0] * (images.ndim - 3 - i) + [left, right]
            images = functional.pad(images, margins).unfold(2 + i, reach, stride)[..., ::dilation]
        order = (0, 1, *range(2 + spatial, 2 + 2 * spatial), *range(2, 2 + spatial))
        patches = self._arrange(images.permute(order))
        size = max(1, _CHUNK_ELEMENTS // self._weight.numel())
        parts = zip(torch.split(self._inputs, size), torch.split(patches, size), strict=True)
        for a, g in parts:
            self._weight += (a @ g.mT).square_().sum(dim=0).view_as(self._weight)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return (C, O / G, *kernel) and (O,)."""
        return self._weight, self._bias

    def _arrange(self, values: Tensor) -> Tensor:
        """Bring (M, ...) into (N, G, C / G * kernel, M / N * positions)."""
        count, positions = self._shape[0], self._positions
        grouped = values.reshape(count, -1, self._layer.groups, self._channels(values), positions)
        return grouped.permute(0, 2, 3, 1, 4).flatten(3)

    def _channels(self, values: Tensor) -> int:
        each = self._shape[1 : len(self._shape) - self._spatial - 1].numel()
        groups: int = self._layer.groups
        return values.numel() // (self._shape[0] * each * groups * self._positions)


class _Scales(SquaredGradients):
    """A factor and a shift for each channel, which all positions share.

    Args:
        inputs: What the factors multiply, (N, ...).
        positions: The dimensions of the positions.
    """

    def __init__(self, inputs: Tensor, positions: tuple[int, ...]) -> None:
        self._inputs = inputs
        self._positions = positions
        channels = self._over_positions(inputs[:1])[0]
        self._weight, self._bias = torch.zeros_like(channels), torch.zeros_like(channels)
        self.elements = 2 * inputs.numel()

    def add(self, gradient: Tensor) -> None:
        """Sum over positions, square, and sum over samples."""
        self._weight += self._over_positions(gradient * self._inputs).square().sum(dim=0)
        self._bias += self._over_positions(gradient).square().sum(dim=0)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return two tensors of the channels' shape."""
        return self._weight, self._bias

    def _over_positions(self, values: Tensor) -> Tensor:
        return values.sum(dim=self._positions) if self._positions else values


class _Rows(SquaredGradients):
    """A table's rows: a sample's positions with the same token add up before squaring.

    Args:
        layer: The embedding.
        tokens: (N, ...).
        outputs: (N, ..., D), for the shape.
    """

    def __init__(self, layer: nn.Embedding, tokens: Tensor, outputs: Tensor) -> None:
        samples = torch.arange(len(tokens), device=tokens.device)[:, None]
        pairs = samples * layer.num_embeddings + tokens.reshape(len(tokens), -1)
        # One row per pair of a sample and a token in it: far fewer than N x V.
        pairs, self._places = torch.unique(pairs, return_inverse=True)
        self._tokens = pairs % layer.num_embeddings
        self._squares = outputs.new_zeros(len(pairs), outputs.shape[-1])
        self._layer = layer
        self.elements = 2 * outputs.numel()

    def add(self, gradient: Tensor) -> None:
        """Add up over positions, and square."""
        places = gradient.reshape(-1, gradient.shape[-1])
        pairs = torch.zeros_like(self._squares).index_add_(0, self._places.flatten(), places)
        self._squares.addcmul_(pairs, pairs)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return (V, D), and zeros for the bias that embeddings lack."""
        rows = self._squares.new_zeros(self._layer.weight.shape)
        rows.index_add_(0, self._tokens, self._squares)
        if self._layer.padding_idx is not None:
            rows[self._layer.padding_idx] = 0
        return rows, rows.new_zeros(())


def _linear(_: Any, inputs: Tensor, outputs: Tensor) -> SquaredGradients:
    """Take (N, ..., I) and (N, ..., O)."""

    def arrange(values: Tensor) -> Tensor:
        return values.flatten(1, -2).mT[:, None]

    if inputs[0, ..., 0].numel() == 1:
        return _Vectors(inputs.flatten(1), outputs.flatten(1))
    return _Matrices(arrange(inputs), arrange(outputs), arrange)


def _convolution(layer: Any, inputs: Tensor, outputs: Tensor) -> SquaredGradients:
    """Take (N, ..., C, *space) and (N, ..., O, *space) with any number of spatial dimensions."""
    spatial = len(layer.kernel_size)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    images = inputs.flatten(0, -spatial - 2)
    patches = functional.pad(images, layer._reversed_padding_repeated_twice, mode=mode)
    for i, (size, stride, dilation) in enumerate(
        zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
    ):
        patches = patches.unfold(2 + i, dilation * (size - 1) + 1, stride)[..., ::dilation]
    order = (0, 1, *range(2 + spatial, 2 + 2 * spatial), *range(2, 2 + spatial))
    # (M, C, *space, *kernel) -> (M, C, *kernel, *space)
    patches = patches.permute(order)
    count, each = len(inputs), len(images) // len(inputs)
    positions = outputs.shape[outputs.ndim - spatial :].numel()

    def arrange(values: Tensor) -> Tensor:
        # (M, ...) -> (N, M / N, G, C / G * kernel, positions), all positions of a sample last
        grouped = values.reshape(count, each, layer.groups, -1, positions)
        return grouped.permute(0, 2, 3, 1, 4).flatten(3)

    return _Matrices(arrange(patches), arrange(outputs), arrange)


def _batch_norm(layer: Any, inputs: Tensor, _: Tensor) -> SquaredGradients:
    """Take (N, M, C, ...)."""
    mean, variance = layer.running_mean, layer.running_var
    normalised = functional.batch_norm(inputs.flatten(0, 1), mean, variance, eps=layer.eps)
    return _Scales(normalised.view_as(inputs), (1, *range(3, inputs.ndim)))


def _group_norm(layer: Any, inputs: Tensor, _: Tensor) -> SquaredGradients:
    """Take (N, M, C, ...)."""
    normalised = functional.group_norm(inputs.flatten(0, 1), layer.num_groups, eps=layer.eps)
    return _Scales(normalised.view_as(inputs), (1, *range(3, inputs.ndim)))


def _layer_norm(layer: Any, inputs: Tensor, _: Tensor) -> SquaredGradients:
    """Take (N, ..., *normalised shape)."""
    normalised = functional.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
    return _Scales(normalised, tuple(range(1, inputs.ndim - len(layer.normalized_shape))))


LAYERS: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], SquaredGradients]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.Conv3d: _convolution,
    nn.ConvTranspose1d: _Transposed,
    nn.ConvTranspose2d: _Transposed,
    nn.ConvTranspose3d: _Transposed,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.Embedding: _Rows,
    nn.RNN: _linear,  # each of the products of the unrolled layer
    nn.LSTM: _linear,
    nn.GRU: _linear,
    nn.MultiheadAttention: _linear,  # each of its two projections
}
"""The layers covered: from a layer, its inputs and its outputs (samples first) to its squared
gradients."""


def covers(layer: nn.Module) -> bool:
    """Whether the gradients of a layer, in its configuration, have a closed form here."""
    # An object's own forward function may do anything.
    if type(layer) not in LAYERS or "forward" in vars(layer):
        return False
    if isinstance(layer, nn.RNNBase):
        names = [name for names in layer._all_weights for name in names]
        # Weights computed from other parameters, as by ``weight_norm``, are not parameters.
        return layer.proj_size == 0 and all(name in layer._parameters for name in names)
    if isinstance(layer, nn.MultiheadAttention):
        return covers_attention(layer)
    if layer._parameters.get("weight") is None:
        return False
    if isinstance(layer, nn.Embedding):
        return not layer.scale_grad_by_freq
    # Without running statistics the samples of a batch depend on each other.
    return not isinstance(layer, nn.modules.batchnorm._BatchNorm) or layer.running_mean is not None


def squared_gradients(layer: nn.Module, inputs: Tensor, outputs: Tensor) -> SquaredGradients:
    """Return empty sums for a layer.

    Args:
        layer: Of a kind that is covered.
        inputs: Its inputs, samples first.
        outputs: Its outputs, samples first, for the shape.
    """
    return LAYERS[type(layer)](layer, precise(inputs), precise(outputs))


def precise(values: Tensor) -> Tensor:
    """Return values in a type that can sum many of them, which half precision cannot."""
    half = values.dtype in (torch.float16, torch.bfloat16)
    return values.float() if half else values
