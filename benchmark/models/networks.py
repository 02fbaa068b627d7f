"""Whole networks as the models of a bank, sharing some of their child modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.models.anatomy import Anatomy, check, check_kind, examine, statistics
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.models.choice import Network
from palimpsest.benchmark.models.making import Shape, make
from palimpsest.benchmark.models.model_surgery import exchanged, new_head, with_own_statistics

Sharing = int | tuple[str, ...] | None
"""How many of the first blocks are shared, or the names of child modules; ``None``: all blocks."""


class NetworkBank(ModelBank):
    """Networks that have some modules, or the weights of some modules, in common.

    A batch of a single sample has no variance, such as the last one of a pass. It is normalised by
    running statistics, and does not change them.

    Args:
        networks: By name, one for each model.
        n_classes: Columns of the largest output.
        frozen: Whether only the first model that has a normalisation layer changes its running
            statistics.
    """

    of_blocks = False

    def __init__(
        self, networks: Mapping[str, nn.Module], n_classes: int, *, frozen: bool = False
    ) -> None:
        super().__init__(networks, [[name] for name in networks], n_classes)
        self._normalising = [statistics(network) for network in networks.values()]
        self._still: list[list[nn.Module]] = []
        seen: set[nn.Module] = set()
        for layers in self._normalising:
            self._still.append([layer for layer in layers if frozen and layer in seen])
            seen |= set(layers)

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Run model ``task_label`` on inputs (N, ...); returns its outputs (N, classes)."""
        still: Sequence[nn.Module] = []
        if self.training:
            still = (self._normalising if len(x) == 1 else self._still)[task_label]
        with _evaluated(still):
            return super().forward_single_task(x, task_label)

    def statistics_of(self, model: int) -> list[nn.Module]:
        """Return the normalisation layers whose running statistics a model's training changes."""
        return [layer for layer in self._normalising[model] if layer not in self._still[model]]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> NetworkBank:
        """Convert all tensors; modules with a common buffer share the new one, too."""
        holders: dict[Tensor, list[tuple[nn.Module, str]]] = {}
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    holders.setdefault(buffer, []).append((module, name))
        super()._apply(fn, recurse)
        for (first, own), *others in holders.values():
            for module, name in others:
                module._buffers[name] = first._buffers[own]
        return self


@contextmanager
def _evaluated(layers: Sequence[nn.Module]) -> Iterator[None]:
    modes = [layer.training for layer in layers]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.training = mode


@dataclass(frozen=True)
class _Made:
    """A network as it was made, before it becomes models."""

    choice: Network
    input_shape: Shape
    network: nn.Module

    @cached_property
    def anatomy(self) -> Anatomy:
        return examine(self.network, self.input_shape, self.choice)

    def part(self, name: str) -> nn.Module:
        return self.network.get_submodule(name)

    def model(self, n_classes: int, others: Mapping[nn.Module, nn.Module]) -> nn.Module:
        """Return a model with a new head, and other modules in place of some.

        Raises:
            UserError: The network does not use what it is given.
        """
        head = self.part(self.anatomy.head)
        given = {**others, head: new_head(head, n_classes)}
        try:
            model = exchanged(self.network, given)
        except Exception as error:  # such as a scripted module, which has no copy
            raise UserError(
                f"network {self.choice}: its modules cannot be exchanged ({error})"
            ) from error
        self._check_ties(model)
        used = check(model, self.input_shape, n_classes, self.choice)
        for old, new in given.items():
            name = next(name for name, own in self.network.named_modules() if own is old)
            if name in self.anatomy.called and new not in used:
                raise UserError(
                    f"network {self.choice}: its module {name!r} cannot be exchanged, since it is "
                    "not run as the child of its parent; models cannot share parts of it"
                )
        return model

    def _check_ties(self, model: nn.Module) -> None:
        """Refuse a model in which a weight that the network has in two places is two weights."""
        now = dict(model.named_parameters(remove_duplicate=False))
        first: dict[nn.Parameter, str] = {}
        for name, parameter in self.network.named_parameters(remove_duplicate=False):
            other = first.setdefault(parameter, name)
            if now[name] is not now[other]:
                raise UserError(
                    f"network {self.choice}: {other!r} and {name!r} are one weight, and would be "
                    "two in a model that shares only one of them, or whose head is one; share both "
                    "or neither"
                )


def trunk(choice: Network, input_shape: Shape, head_sizes: Sequence[int]) -> NetworkBank:
    """Return models that share everything but their heads, initialised from torch's generator.

    Raises:
        UserError: The network does not fit.
    """
    made = _make(choice, input_shape, max(head_sizes))
    if len(head_sizes) == 1 and choice.batch_norm != "shared":
        raise UserError(
            f"batch_norm is {choice.batch_norm}, but there is one model for all experiences: give "
            "each its own head (incremental: task)"
        )
    networks = {
        f"model_{i}": made.model(size, _own_statistics(choice, made.network) if i else {})
        for i, size in enumerate(head_sizes)
    }
    return _bank(choice, networks, max(head_sizes))


def pair(choice: Network, input_shape: Shape, sizes: Sequence[int], shared: Sharing) -> NetworkBank:
    """Return two models ``a`` and ``b``: b has its own initial weights but for what it shares.

    Args:
        choice: Which network.
        input_shape: Channels, height and width of the images.
        sizes: The classes of both.
        shared: What b shares with a; ``None``: everything but the head.

    Raises:
        UserError: The network does not fit.
    """
    a = _make(choice, input_shape, max(sizes))
    if shared is None:
        b, others = a, _own_statistics(choice, a.network)
    else:
        names = a.anatomy.chosen(a.network, shared, choice)
        b = _make(choice, input_shape, max(sizes))
        others = _shared(choice, dict.fromkeys(names, a), b)
    networks = {"a": a.model(sizes[0], {}), "b": b.model(sizes[1], others)}
    return _bank(choice, networks, max(sizes))


def drawn(
    choice: Network,
    input_shape: Shape,
    n_classes: int,
    shared: Sharing,
    pool: int,
    draw: Callable[[int], Any],
) -> NetworkBank:
    """Return models whose shared blocks come from a pool of candidates.

    Args:
        choice: Which network.
        input_shape: Channels, height and width of the images.
        n_classes: Classes of each model.
        shared: The blocks that come from the pool; all others are each model's own.
        pool: Candidates for each of them.
        draw: Given the number of shared blocks, returns the candidate of each for every model, an
            array (models, blocks).

    Raises:
        UserError: The network does not fit.
    """
    candidates = [_make(choice, input_shape, n_classes) for _ in range(pool)]
    first = candidates[0]
    every = first.anatomy.blocks if shared is None else shared
    names = first.anatomy.chosen(first.network, every, choice)
    seen: set[tuple[int, int]] = set()
    networks: dict[str, nn.Module] = {}
    for model, row in enumerate(draw(len(names))):
        own = _make(choice, input_shape, n_classes)
        others: dict[nn.Module, nn.Module] = {}
        for place, (name, candidate) in enumerate(zip(names, row, strict=True)):
            source = candidates[candidate]
            if (place, candidate) in seen:
                others |= _shared(choice, {name: source}, own)
            else:
                others[own.part(name)] = source.part(name)
            seen.add((place, candidate))
        networks[f"model_{model}"] = own.model(n_classes, others)
    return _bank(choice, networks, n_classes)


def _make(choice: Network, input_shape: Shape, n_classes: int) -> _Made:
    network = make(choice, input_shape, n_classes)
    check_kind(network, f"network {choice}")
    made = _Made(choice, input_shape, network)
    if not made.anatomy.blocks:
        raise UserError(f"network {choice} has nothing to share: all its weights are in its head")
    if choice.batch_norm != "shared" and not statistics(network):
        raise UserError(
            f"batch_norm is {choice.batch_norm}, but {choice} has no batch normalisation with "
            "running statistics; remove it"
        )
    return made


def _shared(
    choice: Network, sources: Mapping[str, _Made], own: _Made
) -> dict[nn.Module, nn.Module]:
    """Return what to put in place of which module of a network, by name from others."""
    others = {}
    for name, source in sources.items():
        module = source.part(name)
        others[own.part(name)] = exchanged(module, _own_statistics(choice, module))
    return others


def _own_statistics(choice: Network, module: nn.Module) -> dict[nn.Module, nn.Module]:
    return with_own_statistics(module) if choice.batch_norm == "per_model" else {}


def _bank(choice: Network, networks: Mapping[str, nn.Module], n_classes: int) -> NetworkBank:
    return NetworkBank(networks, n_classes, frozen=choice.batch_norm == "frozen")
