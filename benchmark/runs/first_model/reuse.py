"""How a run gets its first model: it trains and saves the model, or loads it from another run."""

from __future__ import annotations

import contextlib
import io
import pickle
import weakref
from pathlib import Path
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor, nn

from palimpsest.benchmark.runs.first_model.storage import (
    FirstModel,
    checksum,
    load,
    save,
    tensors_of,
)
from palimpsest.benchmark.training.evaluation import CurveRecorder


def reuse_first_model(
    strategy: Any, experience: Any, path: Path, recorder: CurveRecorder, **training: Any
) -> None:
    """Reuse a saved first model, or train and save it.

    Args:
        strategy: An ``InMemoryTraining`` with an untrained bank.
        experience: The first one.
        path: The file of the first model.
        recorder: The plugin that measures the run's curves; it adopts the curve of a saved model.
        **training: Arguments of ``strategy.train``.
    """
    known = load(path, strategy.model, strategy.optimizer)
    if known is not None:
        if known.curve is not None:
            recorder.adopt(known.curve)
        strategy.train(experience, instead=known.put_into, **training)
        return
    saver = FirstModelSaver(path, recorder.curves)
    strategy.plugins.insert(0, saver)
    strategy.train(experience, **training)
    strategy.plugins.remove(saver)


class FirstModelSaver(SupervisedPlugin):
    """Saves the first model at the end of its training.

    Args:
        path: Where to save it.
        curves: One per model, as ``CurveRecorder`` fills them.
    """

    def __init__(self, path: Path, curves: list[dict[str, Any]]) -> None:
        super().__init__()
        self._path = path
        self._curves = curves
        self._before: dict[str, bytes] = {}
        self._surroundings: bytes | None = None
        self._trained: list[str] = []
        self._untrained: dict[str, nn.Parameter] = {}

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the state of the bank before training."""
        self._untrained = dict(strategy.model.named_parameters())
        with contextlib.suppress(Exception):  # such as a kind of tensor without bytes
            self._before = {n: _digest(value) for n, value in tensors_of(strategy.model).items()}
            self._surroundings = _surroundings(strategy.model)

    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note which parameters have a gradient."""
        for name in [n for n, p in self._untrained.items() if p.grad is not None]:
            self._trained.append(name)
            del self._untrained[name]

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Save the changes, unless something has changed that cannot be shared."""
        with contextlib.suppress(Exception):  # then the other runs train their own
            if self._surroundings == _surroundings(strategy.model):
                save(self._trained_model(strategy), self._path)

    def _trained_model(self, strategy: Any) -> FirstModel:
        model, optimizer = strategy.model, strategy.optimizer
        names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
        return FirstModel(
            state={n: v for n, v in tensors_of(model).items() if _digest(v) != self._before[n]},
            trained=self._trained,
            optimizer_state={names[p]: dict(s) for p, s in optimizer.state.items() if s},
            optimizer_options=[
                {k: v for k, v in group.items() if k != "params"}
                for group in optimizer.param_groups
            ],
            steps=strategy.step_clock.step,
            curve=self._curves[0] if self._curves else None,
        )


def _digest(value: Tensor) -> bytes:
    """Return a checksum of all bits of a tensor."""
    whole = value.resolve_conj().resolve_neg().cpu().contiguous().flatten()
    return checksum(whole.view(torch.uint8).numpy().tobytes())


_OF_EVERY_MODULE = vars(nn.Module()).keys()


class _Names(pickle.Pickler):
    """Pickles only the names of the bank's tensors and modules, which are compared separately."""

    def __init__(self, file: io.BytesIO, names: dict[int, str]) -> None:
        super().__init__(file)
        self._names = names

    def persistent_id(self, value: Any) -> Any:
        """Return a substitute for a value, or ``None`` to pickle the value itself."""
        if isinstance(value, torch.Generator):
            return value.get_state().numpy().tobytes()
        if isinstance(value, weakref.ref):  # recurrent layers have some, and replace them
            value = value()
        return self._names.get(id(value))


def _surroundings(model: nn.Module) -> bytes:
    """Return everything in a bank except the values of its parameters and buffers, as bytes.

    These are shapes, and the plain attributes of all modules: counters, caches, generators. They
    are not shared, and so must not change.
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
            except Exception:  # such as a nested function; its identity has to be the same
                text = io.BytesIO(str(id(value)).encode())
            written.write(f"\n{name}=".encode() + text.getvalue())
    return written.getvalue()
