"""Freezing the rows that mattered most to earlier models."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import SHARE, Facts
from palimpsest.strategies.base.grown import fit_to_grown
from palimpsest.strategies.masks.fisher_rows import FisherRows
from palimpsest.strategies.masks.output_rows import row_sums


class FreezeImportant(FisherRows):
    """Hold the rows of shared parameters that have most Fisher information of earlier models.

    A row is all weights that lead to one output of a layer; a bias is a row of its own. With F_k
    the diagonal Fisher information of model k at the end of its training, a row scores ``sum_k
    sum_{i in row} F_ki``, over all earlier models k that used it, and the ``share`` of rows with
    the highest scores does not move while a later model trains. So it is a penalty with a hard
    threshold, and the inverse of ``fggm``, which holds what matters least to the new model. As sums
    grow, other rows can take the place of those that were held.

    There is no publication: it is the control of Fisher-guided masks.

    Attributes:
        importances: ``sum_k F_k``, of the parameters' shapes, by name.

    Limits:
        Rows are held or free, nothing between. The ranking is by the sum over models: what mattered
        to the first one alone can become free again.
    """

    facts = Facts(
        name="freeze_important",
        summary="hold the rows with most Fisher information of earlier models: a penalty's "
        "hard limit",
        source="the control of Fisher-guided masks",
        dial=SHARE,
        ends_only=True,
    )
    holds_highest = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.importances: dict[str, Tensor] = {}

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Extend importances, by 0, to parameters that have grown."""
        super().before_training_exp(strategy, *arguments, **keywords)
        fit_to_grown(self.importances, self._parameters)

    def free(self, model: nn.Module) -> dict[str, float]:
        """Return the share of each parameter whose rows are free.

        Among all tensors it is that of all together: in which of them rows are held depends on what
        else a model uses.
        """
        shares = super().free(model)
        if self.settings.among == "layer" or not shares:
            return shares
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        free = sum(share * sizes[name] for name, share in shares.items())
        return dict.fromkeys(shares, free / sum(sizes[name] for name in shares))

    def scores(self, shared: Mapping[str, Parameter]) -> dict[str, Tensor]:
        """Return the sums of the importances."""
        return {name: row_sums(self.importances[name], self._axes[name]) for name in shared}

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Add the Fisher information of the model just trained."""
        super().keep(strategy, used)
        found = self.fisher(strategy, used) if used else {}
        for name, own in found.items():
            before = self.importances.get(name)
            self.importances[name] = own if before is None else before + own
