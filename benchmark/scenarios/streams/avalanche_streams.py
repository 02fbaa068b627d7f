"""Makes Avalanche's classic benchmarks by name, and checks their streams."""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import avalanche.benchmarks.classic as shipped
import torch
from torchvision.transforms import CenterCrop, Compose, Resize

from palimpsest.benchmark.data.formats.named import limited_silence
from palimpsest.benchmark.errors import SettingError, UserError, nearest, quoted
from palimpsest.benchmark.randomness.generators import own_numbers
from palimpsest.benchmark.settings.arguments import check_signature

_ROOT = "dataset_root"
_TRANSFORMS = ("train_transform", "eval_transform")
_FAILURES = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Avalanche's errors for arguments that do not fit together, and for missing files."""


@dataclass(frozen=True)
class Streams:
    """The experiences of a benchmark.

    Attributes:
        train: Avalanche experiences to train on.
        test: One for each of these, or a single one for all.
        labels: The task label of each of ``train``.
    """

    train: tuple[Any, ...]
    test: tuple[Any, ...]
    labels: tuple[int, ...]


def parameters(name: str) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a benchmark.

    Raises:
        SettingError: There is no such benchmark, or it gives no labelled samples.
    """
    found = {n: v for n, v in vars(shipped).items() if _takes(v, _ROOT)}
    if name not in found:
        if isinstance(getattr(shipped, name, None), type):
            raise SettingError(
                ("benchmark",),
                f"Avalanche's {name} is no function that gives labelled samples of each class, as "
                "others of avalanche.benchmarks.classic do; choose one of these",
            )
        raise SettingError(
            ("benchmark",),
            f"Avalanche has no classic benchmark {quoted(name)}; {nearest(name, found)}",
        )
    return inspect.signature(found[name]).parameters


def _takes(value: object, start: str) -> bool:
    return isinstance(value, FunctionType) and any(
        name.startswith(start) for name in inspect.signature(value).parameters
    )


def check(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse a benchmark that does not exist, and arguments that it does not take.

    Raises:
        SettingError: Names the setting and the nearest valid word.
        UserError: Names missing arguments.
    """
    known = parameters(name)
    decided = {each for each in known if each.startswith(_ROOT) or each in _TRANSFORMS}
    check_signature(name, known, decided, arguments, f"Avalanche's documentation of {name}")


def takes_seed(name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a benchmark has a seed that the arguments do not give."""
    return "seed" in parameters(name) and "seed" not in arguments


def task_labels(
    name: str, arguments: Mapping[str, Any], seed: int, folder: Path
) -> tuple[int, ...]:
    """Return the task label of each experience, for checks before anything is decoded."""
    return streams(name, arguments, seed, folder).labels


def streams(name: str, arguments: Mapping[str, Any], seed: int, folder: Path) -> Streams:
    """Make a benchmark and look at its streams; no image is decoded.

    Args:
        name: Of the benchmark.
        arguments: As the suite gives them.
        seed: The benchmark's, if it has one and the arguments do not give it.
        folder: Where it looks for its files.

    Raises:
        UserError: Its files are missing, it cannot be made with these arguments, or it has streams
            that cannot be trained on.
    """
    made = _made(name, arguments, seed, folder)
    train, test = (tuple(getattr(made, f"{part}_stream", ())) for part in ("train", "test"))
    told = f"benchmark {name} of Avalanche"
    if len(train) < 2:
        raise UserError(f"{told} has {len(train)} experience to train on; expected two or more")
    if len(test) not in {1, len(train)}:
        raise UserError(
            f"{told} has {len(train)} experiences to train on and {len(test)} to test on; expected "
            "as many, or one for all"
        )
    labels = [_labels(f"{told}, training experience {n}", e) for n, e in enumerate(train, 1)]
    tested = [_labels(f"{told}, test experience {n}", e) for n, e in enumerate(test, 1)]
    if len(test) == 1:
        tested *= len(labels)
    if labels != tested:
        raise UserError(
            f"{told} has the task labels {labels} in training and {tested} in testing: which head "
            "answers is unclear; choose arguments with the same"
        )
    return Streams(train, test, tuple(labels))


def _labels(place: str, experience: Any) -> int:
    found = sorted({int(label) for label in experience.dataset.targets_task_labels})
    if len(found) != 1:
        raise UserError(f"{place} has the task labels {found}; expected one for all its samples")
    return found[0]


def _numbered(value: Any) -> Any:
    """Return a mapping of numbers, which a suite has as text: {"0": 50} as {0: 50}."""
    numbers = isinstance(value, Mapping) and all(key.isdecimal() for key in value)
    return {int(key): inside for key, inside in value.items()} if numbers else value


def _made(name: str, arguments: Mapping[str, Any], seed: int, folder: Path) -> Any:
    known = parameters(name)
    given = {each: _numbered(value) for each, value in arguments.items()}
    if takes_seed(name, arguments):
        given["seed"] = seed % 2**32  # numpy's legacy generators take no more
    given |= {each: folder for each in known if each.startswith(_ROOT)}
    given |= {each: _geometry(known) for each in _TRANSFORMS if each in known}
    if not folder.is_dir() or not any(folder.iterdir()):
        raise UserError(
            f"the files of Avalanche's benchmark {name} are not in {folder}: put them there, as "
            f"Avalanche does with avalanche.benchmarks.classic.{name}({_ROOT}={str(folder)!r}, "
            "...), or give the folder around it with --data-root DIR or PALIMPSEST_DATA"
        )
    try:
        with quietly(), limited_silence():
            return getattr(shipped, name)(**given)
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"Avalanche's {name} cannot be made with these arguments and the files in {folder}: "
            f"{reason}"
        ) from error


@contextlib.contextmanager
def quietly(device: str = "cpu") -> Iterator[None]:
    """Let Avalanche neither print nor change the global generators, that of a device included.

    It prints which files exist. Its random transforms draw from the generators, while it makes a
    benchmark and while it gives samples.
    """
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        own_numbers(torch.device(device)),
    ):
        warnings.simplefilter("ignore")
        yield


def _geometry(known: Mapping[str, inspect.Parameter]) -> Any:
    """Return the transforms for testing that give images their size; ``None`` if there are none."""
    default = known["eval_transform"].default if "eval_transform" in known else None
    steps = default.transforms if isinstance(default, Compose) else [default]
    kept = [step for step in steps if isinstance(step, Resize | CenterCrop)]
    return Compose(kept) if kept else None
