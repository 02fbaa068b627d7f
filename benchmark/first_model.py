"""The first model of a scenario, trained once for all runs that train it alike.

Nothing is protected while the first model trains, so that strategies which only look at its
end (fine-tuning, freezing, EWC, WPL, ...) all train the same first model on the same batches.
Where one run has trained it, the others of the same seed whose scenario trains it alike take
it over; their results stay bit-identical. What a network draws at random in training needs no
handing over: the generators are seeded anew for every model (see ``InMemoryTraining``).

Where something cannot be handed over, each run trains its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import weakref
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor, nn

from benchmark.scenarios.settings import ScenarioSettings
from benchmark.suite import Run


@dataclass(frozen=True)
class FirstModel:
    """What the first model's training has changed, right after its last step.

    Attributes:
        state: Parameters and buffers of the bank that are no longer what they were, by name.
        trained: Names of the parameters that had a gradient in some step.
        optimizer_state: What the optimizer knows of each parameter, by the parameter's name.
        optimizer_options: Learning rate and the like of each of its groups.
        steps: How many there were.
        curve: What was measured on the way, or ``None``.
    """

    state: dict[str, Tensor]
    trained: list[str]
    optimizer_state: dict[str, dict[str, Any]]
    optimizer_options: list[dict[str, Any]]
    steps: int
    curve: dict[str, Any] | None

    def fits(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
        """Whether a bank has all that was changed, in the same shapes."""
        own = _tensors(model)
        parameters = dict(model.named_parameters())
        shapes = all(n in own and own[n].shape == value.shape for n, value in self.state.items())
        named = {*self.trained, *self.optimizer_state} <= parameters.keys()
        return shapes and named and len(self.optimizer_options) == len(optimizer.param_groups)

    @torch.no_grad()
    def put_into(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Leave a bank and its optimizer as if they had done the training.

        Later models' private parts stay as they are, and the parameters that were trained have a
        gradient of zero.
        """
        own = _tensors(model)
        for name, value in self.state.items():
            own[name].copy_(value)
        for name, parameter in model.named_parameters():
            parameter.grad = torch.zeros_like(parameter) if name in self.trained else None
            if name in self.optimizer_state:
                optimizer.state[parameter] = dict(self.optimizer_state[name])
        for group, options in zip(optimizer.param_groups, self.optimizer_options, strict=True):
            group.update(options)


def path_for(run: Run, settings: ScenarioSettings, scratch: Path) -> Path:
    """Return where the first model of a run is kept.

    Args:
        run: Its seed, device and data decide the first model.
        settings: So do those of its scenario that the first model's training depends on.
        scratch: The folder.
    """
    shared = {
        "scenario": settings.model_dump(mode="json", exclude=settings.later_models_only),
        "data": run.spec["scenario"]["fingerprints"][settings.data],
        **{k: run.spec[k] for k in ("seed", "device")},
    }
    digest = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()
    return scratch / f"{digest[:16]}.first"


def save(model: FirstModel, path: Path) -> None:
    """Write a first model, all at once, so that other processes see it whole or not at all.

    Where it cannot be written (the disk is full, say), nothing is left behind and the other runs
    train their own.
    """
    temporary = path.with_suffix(f".{os.getpid()}")
    content = io.BytesIO()
    try:
        torch.save(asdict(model), content)
        temporary.write_bytes(_checksum(content.getvalue()) + content.getvalue())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> FirstModel | None:
    """Read a first model; ``None`` if none was trained yet, or the file is of no use.

    Args:
        path: Where it is kept.
        model: The bank that it is to fit.
        optimizer: That bank's.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    whole = content[_CHECKSUM_SIZE:]
    if content[:_CHECKSUM_SIZE] != _checksum(whole):
        return None
    known = FirstModel(**torch.load(io.BytesIO(whole), weights_only=True))
    return known if known.fits(model, optimizer) else None


_CHECKSUM_SIZE = 64


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECKSUM_SIZE).digest()


class Keeper(SupervisedPlugin):
    """Saves the first model where the training ends that it watches.

    It comes first among the plugins, and so sees the end of the training before any strategy does.

    Args:
        path: Where to save it.
        curves: One a model, as the curves' recorder fills them.
    """

    def __init__(self, path: Path, curves: list[dict[str, Any]]) -> None:
        super().__init__()
        self._path = path
        self._curves = curves
        self._before: dict[str, bytes] = {}
        self._surroundings: bytes | None = None
        self._trained: list[str] = []
        self._untrained: dict[str, nn.Parameter] = {}
        self._steps = 0

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note what the bank is like before."""
        self._untrained = dict(strategy.model.named_parameters())
        with contextlib.suppress(Exception):  # a kind of tensor that has no bytes, say
            self._before = {n: _digest(value) for n, value in _tensors(strategy.model).items()}
            self._surroundings = _surroundings(strategy.model)

    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note which parameters have a gradient."""
        for name in [n for n, p in self._untrained.items() if p.grad is not None]:
            self._trained.append(name)
            del self._untrained[name]

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Count."""
        self._steps += 1

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Save what has changed, unless something has that cannot be handed over."""
        with contextlib.suppress(Exception):  # then the other runs train their own
            if self._surroundings == _surroundings(strategy.model):
                save(self._trained_model(strategy.model, strategy.optimizer), self._path)

    def _trained_model(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> FirstModel:
        names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
        return FirstModel(
            state={n: v for n, v in _tensors(model).items() if _digest(v) != self._before[n]},
            trained=self._trained,
            optimizer_state={names[p]: dict(s) for p, s in optimizer.state.items() if s},
            optimizer_options=[
                {k: v for k, v in group.items() if k != "params"}
                for group in optimizer.param_groups
            ],
            steps=self._steps,
            curve=self._curves[0] if self._curves else None,
        )


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, also those that a state dict leaves out."""
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: value.detach() for name, value in named}


def _digest(value: Tensor) -> bytes:
    """A checksum of all bits of a tensor."""
    whole = value.resolve_conj().resolve_neg().cpu().contiguous().flatten()
    return _checksum(whole.view(torch.uint8).numpy().tobytes())


_OF_EVERY_MODULE = vars(nn.Module()).keys()


class _Names(pickle.Pickler):
    """Writes the bank's tensors and modules, which are looked at by themselves, as their names."""

    def __init__(self, file: io.BytesIO, names: dict[int, str]) -> None:
        super().__init__(file)
        self._names = names

    def persistent_id(self, value: Any) -> Any:
        """Return what stands for a value, or ``None`` where the value itself is written."""
        if isinstance(value, torch.Generator):
            return value.get_state().numpy().tobytes()
        if isinstance(value, weakref.ref):  # recurrent layers have some, new ones now and then
            value = value()
        return self._names.get(id(value))


def _surroundings(model: nn.Module) -> bytes:
    """What a bank consists of beside the values of its parameters and buffers, as bytes.

    Shapes, and the plain attributes of all modules: counters, caches, generators. Such a thing is
    not handed over, and so must not change.
    """
    modules = dict(model.named_modules())
    tensors = (*model.named_parameters(), *model.named_buffers())
    names = {id(value): name for name, value in (*tensors, *modules.items())}
    shapes = [(name, value.shape, value.requires_grad) for name, value in tensors]
    written = io.BytesIO(repr(shapes).encode())
    written.seek(0, io.SEEK_END)
    for module in modules.values():
        plain = {k: v for k, v in vars(module).items() if k not in _OF_EVERY_MODULE}
        for name, value in plain.items():
            text = io.BytesIO()
            try:
                _Names(text, names).dump(value)
            except Exception:  # a function in a function, say; the same one is no change
                text = io.BytesIO(str(id(value)).encode())
            written.write(f"\n{name}=".encode() + text.getvalue())
    return written.getvalue()
