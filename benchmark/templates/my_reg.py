"""A strategy of my own: a quadratic penalty whose importance is made up.

Change the importance in ``estimate``, how those of several models are combined in ``consolidate``,
the settings, and the facts that listings, the kit and reports ask for. Then::

    palimpsest check my_reg.py                       # the properties every strategy must have
    python -m pytest test_my_reg.py                  # the same as tests (pip install pytest)
    palimpsest run my_reg.yaml --plugin my_reg.py    # beside fine-tuning, EWC, SI and WPL
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from palimpsest.strategies.base.facts import STRENGTH, Facts
from palimpsest.strategies.penalty.regularizer import Regularizer
from palimpsest.strategies.penalty.settings import RegularizerSettings


class MyRegSettings(RegularizerSettings):
    """The settings besides those of every regularizer (strength, application, seed).

    A suite names them under the strategy, and ``palimpsest show strategy my_reg --plugin
    my_reg.py`` explains them.
    """

    power: float = Field(1.0, ge=0, description="Exponent of the importance.")


class MyReg(Regularizer):
    """Protect large parameters: ``strength/2 * sum_i |theta*_i|^power (theta_i - theta*_i)^2``.

    The base class applies the penalty to what models share, keeps importances and anchors, and
    never touches a parameter that the current model does not use.
    """

    facts = Facts(
        name="my_reg",
        summary="a quadratic penalty whose importance is made up",
        source="my own",
        dial=STRENGTH,
    )
    Settings = MyRegSettings
    settings: MyRegSettings

    def estimate(self, strategy: Any, parameters: dict[str, Parameter]) -> dict[str, Tensor]:
        """Return the importance for the model just trained: made up, for you to replace.

        Args:
            strategy: The Avalanche strategy: ``strategy.model``, ``strategy.experience``, and
                ``strategy.adapted_dataset``, whose samples
                ``palimpsest.strategies.curvature.fisher.draw`` draws.
            parameters: What the model trained, by name.

        Returns:
            Tensors >= 0 of the parameters' shapes, by name.
        """
        return {name: p.detach().abs() ** self.settings.power for name, p in parameters.items()}

    def consolidate(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Combine a parameter's new importance with that of earlier models: here, their sum.

        Args:
            name: The parameter.
            importance: What ``estimate`` returned for it.
            value: Its value now.

        Returns:
            Importance and anchor from now on.
        """
        if name in self.importances:
            importance = self.importances[name] + importance
        return importance, value
