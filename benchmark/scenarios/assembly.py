"""Makes a scenario from a bank of models and the data of each experience."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from torch import Tensor

from palimpsest.benchmark.data.formats.pixels import Pixels
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset, Targets
from palimpsest.benchmark.scenarios.streams.parts import Part, Samples, choose


def assemble(
    model: ModelBank,
    parts: Sequence[Part],
    labels: Sequence[int],
    *,
    steps: Sequence[int],
    curve_split: str,
    curve_samples: int | None,
    targets: Sequence[float | None] | None = None,
    chosen: Callable[[Samples, int | None], Samples] = choose,
) -> Scenario:
    """Make a scenario; families call this through ``ScenarioSettings.assemble``.

    Args:
        model: The bank.
        parts: The data of each experience.
        labels: The task label of each experience: which model of the bank learns it.
        steps: Optimizer steps of each model, at most.
        curve_split: The split that curves are measured on: ``test`` or ``validation``.
        curve_samples: How many samples of it, a fixed random choice; ``None`` for all.
        targets: See ``Scenario.targets``.
        chosen: Chooses the samples for curves.

    Raises:
        UserError: Data are not tensors, or have another number of labels than of samples.
    """

    def datasets(split: Callable[[Part], Samples]) -> list[InMemoryDataset]:
        """Make a dataset of each part; the labels of a part that is repeated are listed once."""
        known: dict[int, tuple[Samples, Targets]] = {}
        for part in parts:
            if id(part) not in known:
                samples = split(part)
                _check_tensors(samples)
                known[id(part)] = samples, Targets.of(samples[1])
        return [
            InMemoryDataset.of(*known[id(part)][0], label, known[id(part)][1])
            for part, label in zip(parts, labels, strict=True)
        ]

    watched = attrgetter(curve_split)
    streams = benchmark_from_datasets(
        train=datasets(lambda part: part.train),
        validation=datasets(lambda part: part.validation),
        test=datasets(lambda part: part.test),
        curve_data=datasets(lambda part: chosen(watched(part), curve_samples)),
    )
    streams = with_task_labels(with_classes_timeline(streams)).streams
    return Scenario(
        model=model,
        train=list(streams["train"]),
        validation=list(streams["validation"]),
        test=list(streams["test"]),
        curve_data=list(streams["curve_data"]),
        steps=list(steps),
        targets=list(targets) if targets else [None] * len(parts),
    )


def _check_tensors(samples: Sequence[Any]) -> None:
    for what, value in zip(("inputs", "labels"), samples, strict=True):
        if not isinstance(value, Tensor | Pixels):
            kind = type(value)
            raise UserError(
                f"{what} are a {kind.__module__}.{kind.__qualname__}; expected a tensor, as "
                "torch.as_tensor makes it"
            )
