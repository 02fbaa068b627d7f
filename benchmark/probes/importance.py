"""How a regularizer's importances are distributed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmark.probes.probe import Probe, parameters_of

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)


class Importance(Probe):
    """After each model, the importances of the blocks that it uses, as the next model finds them.

    A row for each block: ``mean``, ``zero`` (the share that is exactly 0) and the quantiles
    ``q0``, ``q0.01``, ... ``q1``, linearly interpolated between the two nearest values. The
    unit is that of the strategy's importance; strength is not multiplied in.
    """

    def absent(self) -> str | None:
        """Return a reason if the strategy has no importances."""
        if self.subject.regularizer is None:
            return f"{self.subject.kind} has no importances that this probe knows"
        return None

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Describe the importances of the model's blocks."""
        penalty = self.subject.regularizer
        assert penalty is not None
        model = strategy.experience.current_experience
        for block in self.subject.paths[model]:
            names = [n for n in parameters_of(strategy.model, block) if n in penalty.importances]
            if names:
                parts = [penalty.importances[name].flatten() for name in names]
                values = torch.cat(parts).double().cpu().numpy()
                self.rows.append(
                    {
                        "model": model,
                        "block": block,
                        "mean": float(values.mean()),
                        "zero": float((values == 0).mean()),
                        **{f"q{q:g}": float(np.quantile(values, q)) for q in QUANTILES},
                    }
                )
