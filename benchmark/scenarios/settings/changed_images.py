"""The base of permuted and rotated: one data set, changed for each experience."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from palimpsest.benchmark.scenarios.settings.incremental import Incremental
from palimpsest.benchmark.scenarios.settings.task_sequence import TaskSequence
from palimpsest.benchmark.settings.values import Several

if TYPE_CHECKING:
    from palimpsest.benchmark.scenarios.scenario import Scenario


class ChangedImages(TaskSequence, Incremental):
    """Experiences that all have the same images, each but the first changed in its own way."""

    change: ClassVar[str]

    experiences: Several = Field(5, ge=2, description="How many, including the unchanged one.")
    incremental: Literal["task", "domain", "class"] = Field(
        "domain",
        description="task: a head for each experience, known at test time. domain: one head for "
        "all. class: one head; a label tells the experience, too, so that each brings new ones.",
    )

    def degrees(self, experience: int) -> float:
        """Return by how many degrees an experience's images are rotated."""
        return 0.0

    def build(self, seed: int, root: Path, device: str) -> Scenario:
        """Make the scenario; the seed decides the weights and the permutations."""
        from palimpsest.benchmark.scenarios.streams.transformed import changed
        from palimpsest.benchmark.scenarios.trunk import trunk_bank

        base = self.load_images(root, device)
        count, size = self.experiences, base.n_classes
        heads = {"task": [size] * count, "domain": [size], "class": [size * count]}
        sizes = heads[self.incremental]
        bank = trunk_bank(self, self.hidden_layers, base, sizes, seed)
        parts = [
            changed(base, self.change if i else "same", seed, i, self.degrees(i))
            for i in range(count)
        ]
        if self.incremental == "class":
            classes = range(size)
            parts = [
                part.with_classes(classes, range(i * size, (i + 1) * size))
                for i, part in enumerate(parts)
            ]
        labels = [i % len(sizes) for i in range(count)]
        return self.assemble(bank, self.blurred(parts, labels, seed), labels)
