"""The Avalanche template that trains on tensors in memory.

Stock Avalanche spends most of its time on fetching single samples. This template takes batches of
an ``InMemoryDataset``, shuffles with its own generator (so that evaluation cannot change the
order), and counts steps, not epochs.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from avalanche.training.plugins import EvaluationPlugin, SupervisedPlugin
from avalanche.training.templates import SupervisedTemplate
from avalanche.training.templates.base_sgd import PeriodicEval
from torch import Tensor, nn

from palimpsest.benchmark.data.formats.pixels import Inputs
from palimpsest.benchmark.randomness.generators import seed_generators
from palimpsest.benchmark.training.clock import StepClock
from palimpsest.strategies.base.likelihood import loss_of

EVALUATION_BATCH = 512
_IMAGES_ON_CPU = 128
"""The size of an evaluation's batch of images: the activations of larger ones leave the cache."""

_STEP_EVENTS = (
    "before_training_iteration",
    "before_forward",
    "after_forward",
    "before_backward",
    "after_backward",
    "before_update",
    "after_update",
    "after_training_iteration",
)


class Batches:
    """Mini-batches of tensors: a given number of them, or one pass in order.

    Args:
        tensors: Inputs (N, ...), perhaps as `Pixels`, targets (N,) and the task label, or one per
            sample (N,).
        batch_size: Samples of a batch; the last one of a pass may have fewer.
        steps: The number of batches, reshuffled for every pass; ``None``: one pass in order.
        seed: Seeds the shuffling.

    Attributes:
        skipped: The number of batches to skip at the beginning, without loading them.
        chosen: The indices of the last batch's samples, int64; ``None`` in order.
    """

    def __init__(
        self,
        tensors: tuple[Inputs, Tensor, int | Tensor],
        batch_size: int,
        steps: int | None = None,
        seed: int = 0,
    ) -> None:
        self.tensors = tensors
        self.batch_size = batch_size
        self.steps = steps
        self.seed = seed
        self.skipped = 0
        self.chosen: Tensor | None = None

    def __len__(self) -> int:
        passes = -(-len(self.tensors[0]) // self.batch_size)
        return passes if self.steps is None else self.steps

    def __iter__(self) -> Iterator[list[Any]]:
        x, y, task = self.tensors
        if self.steps is None:
            for start in range(0, len(x), self.batch_size):
                part = slice(start, start + self.batch_size)
                yield [x[part], y[part], task if isinstance(task, int) else task[part]]
            return
        for chosen in islice(self._shuffled(self.steps, x.device), self.skipped, None):
            self.chosen = chosen
            yield [x[chosen], y[chosen], task if isinstance(task, int) else task[chosen]]

    def _shuffled(self, steps: int, device: torch.device) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        done = 0
        while done < steps:
            order = torch.randperm(len(self.tensors[0]), generator=generator).to(device)
            for chosen in torch.split(order, self.batch_size)[: steps - done]:
                yield chosen
                done += 1


Order = Callable[[tuple[Inputs, Tensor, int | Tensor], int, int], Batches]
"""The batches of a training, from its samples, the size of a batch and the training's number."""


class InMemoryTraining(SupervisedTemplate):
    """Avalanche's supervised training over tensors in memory.

    Args:
        model: A model bank.
        optimizer: Its state is cleared if ``train`` is called with ``reset_optimizer_state=True``.
        batch_size: Samples of a training batch.
        steps: Optimizer steps of each experience.
        order_seeds: Seeds the order of each experience's batches.
        noise_seeds: Two for each experience. They seed the global generators, which the network may
            use (for dropout), before and after its training, so that random numbers of a strategy
            have no effect there. Empty: the generators are not seeded.
        device: Of the model and the data.
        plugins: The strategy under test and all other plugins; a ``StepClock`` comes first.
        loss: The training loss; cross-entropy by default.
        order: Returns the batches of a training, from its samples, the size of a batch and the
            training's number; by default every training shuffles its samples.
        evaluation_batch: Samples of an evaluation's batch; by default a fast number.

    ``train(experience, visit=v)`` takes steps and seeds number v in place of the experience's own.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        batch_size: int,
        steps: Sequence[int],
        order_seeds: Sequence[int],
        device: str,
        plugins: Sequence[Any],
        noise_seeds: Sequence[tuple[int, int]] = (),
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        order: Order | None = None,
        evaluation_batch: int | None = None,
    ) -> None:
        super().__init__(
            model=model,
            optimizer=optimizer,
            criterion=loss or nn.CrossEntropyLoss(),
            train_mb_size=batch_size,
            eval_mb_size=EVALUATION_BATCH,
            device=device,
            plugins=plugins,
            evaluator=silent_evaluator,
        )
        idle = (EvaluationPlugin, PeriodicEval)  # nothing to do here, at eight calls per step
        self.plugins: list[Any] = [p for p in self.plugins if not isinstance(p, idle)]
        self._steps = list(steps)
        self._order_seeds = list(order_seeds)
        self._noise_seeds = list(noise_seeds)
        self._order = order
        self._evaluation_batch = evaluation_batch
        StepClock.attach(self, steps)

    def make_optimizer(self, reset_optimizer_state: bool = False, **arguments: Any) -> None:
        """Give the optimizer the model's parameters, and reset its state if asked to.

        Avalanche searches for each parameter among all others. This search is skipped if the
        optimizer already has the parameters of the model.
        """
        named, known = dict(self.model.named_parameters()), self.optimized_param_id or {}
        has = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        same = known.keys() == named.keys() and all(known[n] is p for n, p in named.items())
        if not same or has != {id(p) for p in named.values()}:
            super().make_optimizer(reset_optimizer_state=reset_optimizer_state, **arguments)
        elif reset_optimizer_state:
            self.optimizer.state = defaultdict(dict)

    def training_epoch(self, **arguments: Any) -> None:
        """Train on the batches: Avalanche's loop, without calls of methods that do nothing."""
        call = {event: self._implementations(event) for event in _STEP_EVENTS}

        def call_plugins(event: str) -> None:
            for plugin_method in call[event]:
                plugin_method(self, **arguments)

        for batch in self.dataloader:
            if self._stop_training:
                break
            self.mbatch = batch
            call_plugins("before_training_iteration")
            self.optimizer.zero_grad()
            call_plugins("before_forward")
            self.mb_output = self.forward()
            call_plugins("after_forward")
            self.loss = self.criterion()
            call_plugins("before_backward")
            self.backward()
            call_plugins("after_backward")
            call_plugins("before_update")
            self.optimizer_step()
            call_plugins("after_update")
            call_plugins("after_training_iteration")

    def criterion(self) -> Tensor:
        """Return the batch's loss. Each sample's loss is over the classes of its own model."""
        return loss_of(self, self.mb_output, self.mb_y, self.mb_task_id)

    def _implementations(self, event: str) -> list[Callable[..., None]]:
        empty = getattr(SupervisedPlugin, event)
        return [
            getattr(plugin, event)
            for plugin in self.plugins
            if getattr(type(plugin), event, empty) is not empty
        ]

    def make_train_dataloader(self, visit: int | None = None, **_: Any) -> None:
        """Draw the training's batches."""
        i = self.experience.current_experience if visit is None else visit
        samples = self.adapted_dataset.samples
        if self._order is not None:
            self.dataloader = self._order(samples, self.train_mb_size, i)
            return
        self.dataloader = Batches(samples, self.train_mb_size, self._steps[i], self._order_seeds[i])

    def make_eval_dataloader(self, **_: Any) -> None:
        """Go through the samples once, in order."""
        inputs = self.adapted_dataset.samples[0]
        images_on_cpu = inputs.ndim == 4 and self.device.type == "cpu"
        fast = _IMAGES_ON_CPU if images_on_cpu else EVALUATION_BATCH
        size = self._evaluation_batch or fast
        self.dataloader = Batches(self.adapted_dataset.samples, size)

    def _train_exp(
        self,
        experience: Any,
        eval_streams: Any = None,
        instead: Callable[[nn.Module, torch.optim.Optimizer], int] | None = None,
        **arguments: Any,
    ) -> None:
        """Train on an experience.

        Args:
            experience: What to train on.
            eval_streams: Passed on to Avalanche.
            instead: Replaces the training (in a run that reuses a first model): it changes the
                model and its optimizer like the training, and returns its steps. The plugins see
                one step in which the trained parameters have a gradient of zero, and nothing moves.
            **arguments: Passed on to Avalanche and all plugins.
        """
        seeds = self._noise_seeds
        before, after = seeds[self.step_clock.training] if seeds else (None, None)
        if before is not None:
            seed_generators(before)
        if instead is None:
            super()._train_exp(experience, eval_streams, **arguments)
        else:
            self.step_clock.step = instead(self.model, self.optimizer)
            self._after_backward(**arguments)
            self._before_update(**arguments)
        if after is not None:
            seed_generators(after)

    def _unpack_minibatch(self) -> None:
        """Do nothing: a batch is already a list of tensors on the device."""


def silent_evaluator() -> EvaluationPlugin:
    """Return an empty evaluation plugin of Avalanche, without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return EvaluationPlugin()


def train_in_bfloat16(strategy: Any) -> None:
    """Let a strategy compute the forward passes of its training in bfloat16, by torch's autocast.

    Weights, gradients, the optimizer and the loss stay float32, and so does everything outside of
    these passes: evaluations, importances, distillation.

    Args:
        strategy: An Avalanche strategy, which is changed in place.
    """
    plain = strategy.forward
    kind = torch.device(strategy.device).type

    def forward(*arguments: Any, **keywords: Any) -> Any:
        if not strategy.is_training:
            return plain(*arguments, **keywords)
        with torch.autocast(kind, torch.bfloat16):
            outputs = plain(*arguments, **keywords)
        return outputs.float() if isinstance(outputs, Tensor) else outputs

    strategy.forward = forward
