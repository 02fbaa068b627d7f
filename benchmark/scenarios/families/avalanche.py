"""Any classic benchmark of Avalanche, by name and with its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from palimpsest.benchmark.data.sets import SETS
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.settings.task_sequence import TaskSequence

if TYPE_CHECKING:
    from palimpsest.benchmark.scenarios.scenario import Scenario

_DATA_SETS = {
    "SplitMNIST": {"mnist"},
    "PermutedMNIST": {"mnist"},
    "RotatedMNIST": {"mnist"},
    "SplitFMNIST": {"fashion_mnist"},
    "SplitCIFAR10": {"cifar10"},
    "SplitCIFAR100": {"cifar100"},
    "SplitCIFAR110": {"cifar10", "cifar100"},
}
"""The benchmarks that read data sets of the catalog; all others have files of their own."""


class AvalancheBenchmark(TaskSequence):
    """The streams of a benchmark of Avalanche, decoded once; a head for each task label.

    Source: Lomonaco et al., Avalanche: an End-to-End Library for Continual Learning, CLVision 2021.
    """

    family: Literal["avalanche"] = "avalanche"
    benchmark: str = Field(
        description="A function of avalanche.benchmarks.classic: SplitCIFAR100, PermutedMNIST, "
        "CORe50 and others."
    )
    arguments: Mapping[str, Any] = Field(
        default_factory=dict,
        description="Its arguments, such as {n_experiences: 10, return_task_id: true}. Where it "
        "has a seed and none is given, the run's seed decides it. Images are taken without its "
        "transforms, but resized and cropped as they would be for testing.",
    )
    data: Literal["benchmark"] = Field("benchmark", description="What the benchmark reads.")

    def data_sets(self) -> set[str]:
        """Return the data sets of the catalog that the benchmark reads."""
        return _DATA_SETS.get(self.benchmark, set())

    def check_data(self, root: Path) -> None:
        """Refuse a benchmark that does not exist, or that cannot be made or trained on."""
        from palimpsest.benchmark.scenarios.streams.avalanche_streams import check, task_labels

        check(self.benchmark, self.arguments)
        if all(SETS[name].is_there(root) for name in self.data_sets()):
            self.check_labels(task_labels(self.benchmark, self.arguments, 0, self._folder(root)))

    def build(self, seed: int, root: Path, device: str) -> Scenario:
        """Make the scenario; the seed decides the weights and, if it has one, the benchmark's."""
        from palimpsest.benchmark.scenarios.streams.decoded_streams import load
        from palimpsest.benchmark.scenarios.streams.parts import DataSet
        from palimpsest.benchmark.scenarios.trunk import trunk_bank

        own_seed = derive(seed, "scenario")
        streams = load(self.benchmark, self.arguments, own_seed, self._folder(root), device)
        parts = streams.parts(self.amounts)
        sizes = streams.head_sizes
        base = DataSet(parts[0], streams.input_shape, max(sizes.values()))
        bank = trunk_bank(self, self.hidden_layers, base, list(sizes.values()), seed)
        heads = list(sizes)
        labels = [heads.index(label) for label in streams.labels]
        return self.assemble(bank, self.blurred(parts, labels, seed), labels)

    def _folder(self, root: Path) -> Path:
        """Where Avalanche looks for the benchmark's files."""
        return root if self.data_sets() else root / self.benchmark
