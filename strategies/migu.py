"""Magnitude-based gradient updating."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import SHARE, Facts
from palimpsest.strategies.base.hooks import Task
from palimpsest.strategies.masks.held_rows import HeldRows

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class MIGU(HeldRows):
    """Let a step change only the shared rows whose outputs are largest in its batch (MIGU).

    In each step a row of the weight of a linear or convolutional layer scores ``sum |h|`` of its
    output h, before the activation, over the batch (and over positions). The ``share`` of rows with
    the lowest scores does not move in that step. Biases and all other parameters are free, and the
    first model trains everything, as does each model where no earlier one did.

    The authors' program scales the gradient (``scales: gradient``), of linear layers of language
    models.

    Source: Du et al., Unlocking Continual Learning Abilities in Language Models, EMNLP Findings
    2024 (arXiv 2406.17245), and its program, github.com/wenyudu/MIGU.

    Limits:
        It chooses by the size of outputs before the activation, whatever they are worth. Biases
        stay free, so that also with a share of 1 earlier models change. It acts on linear layers
        and convolutions alone.
    """

    facts = Facts(
        name="migu",
        summary="change only the shared rows whose outputs are largest in the batch",
        source="Du et al., Unlocking Continual Learning Abilities in Language Models, EMNLP 2024",
        dial=SHARE,
        ends_only=True,
    )
    holds_highest = False
    holds_anew = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._layers: dict[str, nn.Module] = {}
        self._sums: dict[str, Tensor] = {}
        self._handles: list[Any] = []

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return 1, since each step chooses what it holds; 0 where that is everything."""
        weights = {f"{name}.weight" if name else "weight" for name in self._layers}
        return self.free_where_chosen(model, self._shared & weights)

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network that has no such layer."""
        self._look_up(model)

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Look up the layers.

        Raises:
            ValueError: There is none that it can act on.
        """
        super().before_training_exp(strategy, *arguments, **keywords)
        self._look_up(strategy.model)

    def _look_up(self, model: nn.Module) -> None:
        self._layers = {
            name: layer for name, layer in model.named_modules() if isinstance(layer, _LAYERS)
        }
        if not self._layers:
            raise ValueError(
                "migu holds rows of linear and convolutional layers, and the network has none"
            )

    def before_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Watch the layers' outputs for a step."""
        self._sums = {}
        if self._shared and self.settings.share > 0:
            self._handles = [
                layer.register_forward_hook(self._watch(f"{name}.weight" if name else "weight"))
                for name, layer in self._layers.items()
            ]

    def after_forward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def scores(self, shared: Mapping[str, Parameter]) -> dict[str, Tensor]:
        """Return the sums of the outputs in this step."""
        return {name: self._sums[name] for name in shared if name in self._sums}

    def _watch(self, name: str) -> Any:
        def note(layer: nn.Module, _: Any, output: Tensor) -> None:
            axis = 1 if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) else -1
            rows = output.detach().abs().movedim(axis, 0).flatten(1).sum(dim=1)
            self._sums[name] = self._sums[name] + rows if name in self._sums else rows

        return note
