"""How a strategy's importances are distributed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from palimpsest.benchmark.probes.information import information_of
from palimpsest.benchmark.probes.probe import Probe, parameters_of

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)


class Importance(Probe):
    """After each model, the importances of the blocks that it uses, as the next model finds them.

    A row for each block: ``mean``, ``zero`` (the share that is exactly 0) and the quantiles
    ``q0``, ``q0.01``, ... ``q1``, linearly interpolated between the two nearest values. The
    unit is that of the strategy's importance; strength is not multiplied in. ``correlation``:
    Spearman's rank correlation with the exact diagonal Fisher information of the model just
    trained, on at most 1,000 of its training samples; ``None`` where either is constant.
    """

    def absent(self) -> str | None:
        """Return a reason if the strategy has no importances."""
        if self._importances is None:
            return f"{self.subject.facts.name} has no importances that this probe knows"
        return None

    @property
    def _importances(self) -> dict[str, Tensor] | None:
        """The importance of each element of a parameter, by its name."""
        found: dict[str, Tensor] | None = getattr(self.subject.plugin, "importances", None)
        return found

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Describe the importances of the model's blocks."""
        importances = self._importances
        assert importances is not None
        model = strategy.experience.current_experience
        blocks = list(self.subject.paths[model])
        information = information_of(self.subject, strategy, model, blocks)
        for block in blocks:
            names = [n for n in parameters_of(strategy.model, block) if n in importances]
            if names:
                values = _joined(importances, names)
                self.rows.append(
                    {
                        "model": model,
                        "block": block,
                        "mean": float(values.mean()),
                        "zero": float((values == 0).mean()),
                        **{f"q{q:g}": float(np.quantile(values, q)) for q in QUANTILES},
                        "correlation": _rank_correlation(
                            values, _joined(information[block], names)
                        ),
                    }
                )


def _joined(values: dict[str, Tensor], names: list[str]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = (
        torch.cat([values[n].flatten() for n in names]).double().numpy(force=True)
    )
    return found


def _rank_correlation(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float | None:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(spearmanr(a, b).statistic)
