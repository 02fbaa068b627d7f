"""The classes of a data set, a few at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from palimpsest.benchmark.data.catalog import outline
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.settings.incremental import Incremental
from palimpsest.benchmark.scenarios.settings.task_sequence import TaskSequence
from palimpsest.benchmark.settings.values import Several

if TYPE_CHECKING:
    from palimpsest.benchmark.scenarios.scenario import Scenario


class Split(TaskSequence, Incremental):
    """Each experience brings new classes of one data set (Split MNIST and its like).

    Source: Zenke et al., ICML 2017; task-, domain- and class-incremental as in van de Ven &
    Tolias, Three scenarios for continual learning, 2019.
    """

    family: Literal["split"] = "split"
    experiences: Several = Field(5, ge=2, description="How many; the classes are divided evenly.")
    incremental: Literal["task", "domain", "class"] = Field(
        "task",
        description="task: a head for each experience, known at test time. domain: one head; a "
        "label is the place of a class in its experience. class: one head for all classes. "
        "Neither has a task label at test time.",
    )
    shuffle_classes: bool = Field(False, description="Let the seed decide the order of classes.")

    def check_data(self, root: Path) -> None:
        """Refuse classes that the experiences cannot divide evenly."""
        self._classes_each(outline(self.data, root).n_classes)
        if self.samples is not None and self.samples < self.experiences:
            raise UserError(
                f"samples is {self.samples}, fewer than the {self.experiences} experiences: each "
                "needs its own; use more samples or fewer experiences"
            )

    def build(self, seed: int, root: Path, device: str) -> Scenario:
        """Create the scenario; the seed decides the weights and, if asked, the order of classes."""
        import torch

        from palimpsest.benchmark.scenarios.trunk import trunk_bank

        base = self.load_images(root, device)
        size = self._classes_each(base.n_classes)
        classes = list(range(base.n_classes))
        if self.shuffle_classes:
            generator = torch.Generator().manual_seed(derive(seed, "scenario"))
            classes = torch.randperm(base.n_classes, generator=generator).tolist()
        groups = [classes[i : i + size] for i in range(0, base.n_classes, size)]
        heads = {
            "task": [size] * self.experiences,
            "domain": [size],
            "class": [base.n_classes],
        }[self.incremental]
        bank = trunk_bank(self, self.hidden_layers, base, heads, seed)
        first = [i * size if self.incremental == "class" else 0 for i in range(self.experiences)]
        parts = [
            base.part.with_classes(group, range(label, label + size))
            for group, label in zip(groups, first, strict=True)
        ]
        for number, part in enumerate(parts, 1):
            for there, use, setting in (
                (len(part.train[0]), "train", "samples"),
                (len(part.test[0]), "test", "test_samples"),
                (len(part.validation[0]), "validate", "validation_samples"),
            ):
                if not there and getattr(self, setting) is not None:
                    raise UserError(
                        f"experience {number} has no sample to {use} on: none of the "
                        f"{getattr(self, setting)} samples that were chosen is of its classes; "
                        f"raise {setting}"
                    )
        labels = [i % len(heads) for i in range(self.experiences)]
        names = tuple(tuple(base.classes[number] for number in group) for group in groups)
        made = self.assemble(bank, self.blurred(parts, labels, seed), labels)
        return replace(made, classes=names)

    def _classes_each(self, n_classes: int) -> int:
        size, left_over = divmod(n_classes, self.experiences)
        if left_over or size == 0:
            raise UserError(
                f"{self.data!r} has {n_classes} classes, which {self.experiences} "
                "experiences cannot divide evenly: choose another number of experiences"
            )
        return size
