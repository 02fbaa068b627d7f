"""Common parts of strategies that hold rows of shared parameters."""

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.settings import Share
from palimpsest.strategies.masks.output_rows import held_rows, output_axes, over_rows
from palimpsest.strategies.masks.update_mask import MaskedUpdates, MaskSettings


class RowSettings(MaskSettings):
    """The settings of every strategy that holds rows: all weights of an output of a layer."""

    share: Share = Field(
        0.7,
        description="Share of the rows of shared parameters that is held. 0 is fine-tuning, 1 is "
        "freezing.",
    )
    among: Literal["layer", "all"] = Field(
        "layer",
        description="Among what the share is taken. 'layer': among the rows of each tensor. 'all': "
        "among those of all tensors.",
    )


class HeldRows(MaskedUpdates):
    """Holds a share of the rows of the parameters that an earlier model used, and frees the rest.

    Subclasses say what each row scores.

    """

    Settings = RowSettings
    settings: RowSettings
    holds_highest: bool
    """Whether the rows with the highest scores are held, or those with the lowest."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._shared: set[str] = set()
        self._axes: dict[str, int] = {}

    @abstractmethod
    def scores(self, shared: Mapping[str, Parameter]) -> dict[str, Tensor]:
        """Return what each row scores, of shape (rows,), by name.

        Args:
            shared: The parameters that an earlier model used and the current one uses. Those that
                are left out are free.
        """

    def free_where_chosen(self, model: nn.Module, names: Collection[str]) -> dict[str, float]:
        """Return 1 where each new model chooses its rows, so that any may be free, or else 0.

        Args:
            model: The network.
            names: The parameters whose rows have scores.
        """
        axes, parameters = output_axes(model), dict(model.named_parameters())
        rows = {name: (parameters[name].shape or (1,))[axes[name]] for name in names}
        if self.settings.among == "all":
            rows = dict.fromkeys(names, sum(rows.values()))
        return {name: float(round(self.settings.share * n) < n) for name, n in rows.items()}

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Look up the parameters, and which of their dimensions counts outputs."""
        super().before_training_exp(strategy, *arguments, **keywords)
        self._axes = output_axes(strategy.model)

    def holds(self, used: Mapping[str, Parameter]) -> dict[str, Tensor]:
        """Return 1 for the held rows, 0 for the others."""
        shared = {name: p for name, p in used.items() if name in self._shared}
        if not shared or self.settings.share == 0:
            return {}
        rows = held_rows(
            self.scores(shared),
            self.settings.share,
            highest=self.holds_highest,
            together=self.settings.among == "all",
        )
        return {
            name: over_rows(held, shared[name].shape, self._axes[name])
            for name, held in rows.items()
        }

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Note what the model has used."""
        self._shared |= used.keys()
