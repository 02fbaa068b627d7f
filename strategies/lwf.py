"""Learning without forgetting."""

import copy
from collections import defaultdict
from itertools import repeat
from typing import Any, Literal

import torch
from avalanche.models.utils import is_multi_task_module
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from palimpsest.strategies.base.facts import STRENGTH, Facts, Needs
from palimpsest.strategies.base.hooks import Configured, Task
from palimpsest.strategies.base.likelihood import loss_in, require_cross_entropy
from palimpsest.strategies.base.network import evaluation_mode, outputs_of_each, recurrent_kernels
from palimpsest.strategies.base.settings import NonNegative, Positive, StrategySettings


class LwFSettings(StrategySettings):
    """Settings of learning without forgetting."""

    strength: NonNegative = Field(
        1.0,
        description="lambda_o: weight of the distillation loss of each earlier model. 0 is "
        "fine-tuning; infinity fixes the earlier models' outputs on the new data, not weights.",
    )
    temperature: Positive = Field(
        2.0,
        description="T: outputs are divided by it before the softmax; larger values give small "
        "probabilities more weight.",
    )
    balance: Literal["sum", "experiences"] = Field(
        "sum",
        description="How losses are weighted. 'sum': the new model's plus strength times each "
        "earlier one's. 'experiences': 1/t of the new model's plus strength * (1 - 1/t) of the "
        "earlier ones' mean, in experience t.",
    )
    outputs: Literal["earlier", "seen", "all"] = Field(
        "earlier",
        description="The outputs compared, where one head has more than the earlier classes. "
        "'earlier': those of the earlier classes, in both softmaxes. 'seen': the new model's "
        "softmax is over the new classes, too, which have probability 0 in the earlier one. "
        "'all': all outputs of the head, in both.",
    )
    over_classes: Literal["sum", "mean"] = Field(
        "sum",
        description="How a term adds up over classes. 'sum': the cross-entropy. 'mean': divided by "
        "how many outputs are compared, as in the program of van de Ven & Tolias until May 2019.",
    )


class LwF(Configured):
    """Preserve the earlier models' outputs on the new model's data, by distillation (LwF).

    Before a new model trains, the network is copied. While it trains, each earlier model k adds a
    term to the loss, over the N inputs of the current batch::

        strength * 1/N sum_n cross_entropy(softmax(f_k*(x_n) / T), softmax(f_k(x_n) / T))

    with the logits f_k* of the copy and f_k of the current network. Each task label of a
    ``MultiTaskModule`` is a model; any other network is a single model, its own earlier self. The
    logits are those of the classes that the earlier model was trained on: if a single head has, or
    grows, outputs for later classes, these stay free.

    With ``balance: experiences``, the loss of experience t is ``1/t loss + strength * (1 - 1/t) *
    mean_k`` of the same terms, and ``outputs`` can let the softmaxes range over more classes: both
    as in van de Ven & Tolias, Three scenarios for continual learning, 2019 (there ``seen``, and a
    factor T^2, which is ``strength: 4``), and in van de Ven et al., Three types of incremental
    learning, 2022 (``all``, and no factor). Their program of 2019 and before took the mean over
    classes in place of the sum, which is ``over_classes: mean``.

    The earlier models' private parameters are trained, too, as in the paper, so they do move. Both
    networks are in evaluation mode: what is preserved is the function that will be evaluated,
    without the earlier models' dropout or updates of running statistics. The loss has no factor
    T^2, and the new head is not warmed up, which the paper found to matter little for this method.

    All models must take the same kind of inputs. Memory is one copy of the network, whatever the
    number of models; a step takes two additional forward passes and a backward pass per earlier
    model, once for what models of a bank have in common at their beginning.

    Source: Li and Hoiem, Learning without Forgetting, ECCV 2016, figure 3 and equation 2.

    Limits:
        All models must take the same kind of inputs. It preserves the earlier models' outputs on
        the new data: the further these are from the old data, the less that helps. The earlier
        models' private parameters change, and a step takes longer with each model. It is not a
        penalty on weights, so the probe ``importance`` has nothing to show.
    """

    facts = Facts(
        name="lwf",
        summary="learning without forgetting: preserve earlier models' outputs on the new data",
        source="Li & Hoiem, ECCV 2016, TPAMI 2018",
        dial=STRENGTH,
        color="#fbafe4",
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
        needs=Needs(classes="lwf"),
    )
    Settings = LwFSettings
    settings: LwFSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._classes: dict[int, list[int]] = {}
        self._current: dict[int, set[int]] = {}
        self._before: nn.Module | None = None
        self._experiences = 0

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse another loss than cross-entropy, or models that do not take the others' inputs."""
        require_cross_entropy(task.loss, type(self).__name__)
        if len({(x.shape[1:], x.dtype) for _, x in task.samples}) > 1:
            for place, (label, _) in enumerate(task.samples):
                for _, x in task.samples[place + 1 :]:
                    _answers(model, x, [label])

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Copy the network as the earlier models left it.

        Raises:
            ValueError: The training's loss is not cross-entropy.
        """
        require_cross_entropy(loss_in(strategy), type(self).__name__)
        self._before = None  # first, so that there are never two copies
        if self._classes and self.settings.strength > 0:
            self._before = copy.deepcopy(strategy.model).eval().requires_grad_(False)
            self._before.zero_grad()
            self._current = _classes(strategy)

    def before_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the distillation losses.

        Raises:
            ValueError: An earlier model cannot take the new model's inputs.
        """
        if self._before is not None:
            losses = self._distillation(self._before, strategy.model, strategy.mb_x)
            strength = self.settings.strength
            if self.settings.balance == "sum":
                strategy.loss = strategy.loss + strength * losses.sum()
            else:
                share = 1 / (self._experiences + 1)
                strategy.loss = share * strategy.loss + strength * (1 - share) * losses.mean()

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note which models there are, and the classes that each was trained on."""
        if self.settings.strength > 0:
            self._experiences += 1
            for label, classes in _classes(strategy).items():
                self._classes[label] = sorted(classes.union(self._classes.get(label, ())))

    def _distillation(self, before: nn.Module, model: nn.Module, x: Tensor) -> Tensor:
        """Return the loss of each earlier model."""
        losses = []
        labels, temperature = [*self._classes], self.settings.temperature
        with evaluation_mode(model), recurrent_kernels(model):
            then, now = _answers(before, x, labels), outputs_of_each(model, x, labels)
            for label, old, new in zip(labels, then, now, strict=True):
                wanted, found = self._compared(
                    old / temperature, new / temperature, label, self._classes[label]
                )
                loss = functional.cross_entropy(found, wanted)
                mean = self.settings.over_classes == "mean"
                losses.append(loss / found.shape[1] if mean else loss)
        return torch.stack(losses)

    def _compared(
        self, old: Tensor, new: Tensor, label: int, classes: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Return the earlier model's probabilities and the logits that are to have them."""
        if self.settings.outputs == "all":
            return old.softmax(dim=1), new
        wanted = old[:, classes].softmax(dim=1)
        if self.settings.outputs == "earlier":
            return wanted, new[:, classes]
        later = sorted(self._current.get(label, set()).difference(classes))
        return functional.pad(wanted, (0, len(later))), new[:, classes + later]


@torch.no_grad()
def _answers(before: nn.Module, x: Tensor, labels: list[int]) -> list[Tensor]:
    """Return the earlier models' logits, or say which of them cannot take these inputs."""
    try:
        return outputs_of_each(before, x, labels)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        if len(labels) > 1:
            return [_answers(before, x, [label])[0] for label in labels]
        raise ValueError(
            f"learning without forgetting evaluates earlier models on the current model's data, "
            f"but the model of task label {labels[0]} cannot take samples of shape "
            f"{tuple(x.shape[1:])} and type {x.dtype} ({error}); give all models inputs of one "
            "kind, or use a strategy that needs no outputs, such as ewc or wpl"
        ) from error


def _classes(strategy: Any) -> dict[int, set[int]]:
    """Return the classes that were just trained on, by task label; 0 if the model has no labels."""
    data = strategy.adapted_dataset
    labels = data.targets_task_labels if is_multi_task_module(strategy.model) else repeat(0)
    found = defaultdict(set)
    for label, target in set(zip(map(int, labels), map(int, data.targets), strict=False)):
        found[label].add(target)
    return found
