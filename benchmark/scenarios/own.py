"""Builds a user's own scenario once, to find the data that it loads and the settings it reads."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from palimpsest.benchmark.data.formats.pixels import Pixels
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.randomness.generators import own_numbers, own_settings
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.checking import check_experiences, check_training
from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.scenarios.settings.scenario import OF_PLAIN, ScenarioSettings

_SEED = 0
"""It is always built for this seed: the keys of runs do not depend on the suite's seeds."""

_OF_DATA = ("data", "samples", "validation", *OF_PLAIN)
"""Settings of all scenarios that only ``build`` can read."""

_ALL = frozenset({"__dict__", "model_dump", "model_copy", "model_dump_json", "__iter__"})
_AT_ONCE = 4096
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@dataclass(frozen=True)
class Content:
    """The result of building a scenario.

    Attributes:
        digest: A hash of the data of all its experiences; ``None`` if building failed.
        idle: Settings that it does not read, and that are at their defaults.
        scenario: The scenario; ``None`` if building failed.
    """

    digest: str | None
    idle: frozenset[str]
    scenario: Scenario | None = None


def content_of(settings: ScenarioSettings, root: Path) -> Content:
    """Build a scenario of a user's own family once, check it, and hash its tensors.

    Raises:
        UserError: No run could train on it.
    """
    with warnings.catch_warnings(), _watched(settings) as read:
        warnings.simplefilter("ignore")  # of Avalanche's imports
        try:
            with own_settings(), own_numbers(torch.device("cpu"), derive(_SEED, "global")):
                scenario = settings.build(_SEED, root, "cpu")
            unread = set() if read & _ALL else {*_OF_DATA} - read
            check_training(settings, scenario)
            check_experiences(scenario)
            digest = _digest(scenario)
        except UserError:
            raise
        except (Exception, SystemExit):  # a bug of the plugin, for the run to record
            return Content(None, frozenset())
    fields = type(settings).model_fields
    idle = {
        name
        for name in unread & fields.keys()
        if getattr(settings, name) == fields[name].get_default(call_default_factory=True)
    }
    return Content(digest, frozenset(idle), scenario)


@contextmanager
def _watched(settings: ScenarioSettings) -> Iterator[set[str]]:
    """Collect the names of the attributes that are read."""
    kind, read = type(settings), set[str]()

    def noted(self: Any, name: str) -> Any:
        read.add(name)
        return object.__getattribute__(self, name)

    if "__getattribute__" in vars(kind):  # the plugin's own
        read.add("__dict__")
        yield read
        return
    kind.__getattribute__ = noted  # type: ignore[method-assign]
    try:
        yield read
    finally:
        del kind.__getattribute__


def _digest(scenario: Scenario) -> str:
    total = hashlib.sha256()
    for stream in ("train", "validation", "test", "curve_data"):
        total.update(stream.encode())
        for experience in getattr(scenario, stream):
            dataset: Any = experience.dataset
            total.update(f"experience of {len(dataset)}".encode())
            samples = getattr(dataset, "samples", None)
            # What Avalanche itself has made is read sample by sample.
            for value in samples if samples is not None else _items(dataset):
                _add(total, value)
    for name, value in scenario.model.state_dict().items():
        total.update(f"{name} {tuple(value.shape)}".encode())
    plan = repr((scenario.steps, scenario.targets, scenario.schedule))
    total.update(_ADDRESS.sub("", plan).encode())
    return total.hexdigest()[:16]


def _items(dataset: Any) -> Iterator[Any]:
    for place in range(len(dataset)):
        yield from dataset[place]


def _add(total: Any, value: Any) -> None:
    if isinstance(value, Pixels):
        _add(total, value.mean)
        _add(total, value.std)
        for start in range(0, len(value), _AT_ONCE):
            _add(total, value.bytes_of(slice(start, start + _AT_ONCE)))
    elif isinstance(value, Tensor):
        total.update(f"{value.dtype} {tuple(value.shape)}".encode())
        plain = value.detach().cpu().contiguous()
        total.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    else:
        total.update(_ADDRESS.sub("", repr(value)).encode())
