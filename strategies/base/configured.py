"""A plugin that has settings: what all methods with a constructor of their own derive from."""

from typing import Any, ClassVar

from avalanche.training.plugins import SupervisedPlugin

from palimpsest.strategies.base.settings import StrategySettings


class Configured(SupervisedPlugin):
    """A plugin that is made from settings.

    Args:
        **settings: Those of the class's ``Settings``, by name; others have their defaults.

    Attributes:
        settings: The checked settings.
    """

    Settings: ClassVar[type[StrategySettings]] = StrategySettings

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = self.Settings(**settings)
