"""A strategy of my own: a posterior of each weight, held near earlier ones as is made up.

Change how much each earlier posterior counts in ``weights``, how many are kept in ``depth``, the
settings, and the entry at the bottom that listings show. Then::

    palimpsest check my_posterior.py        # the properties every strategy must have
    python -m pytest test_my_posterior.py   # the same as tests (pip install pytest)
    palimpsest run my_posterior.yaml --plugin my_posterior.py
"""

from __future__ import annotations

from pydantic import Field

from palimpsest.strategies.base.facts import BETA
from palimpsest.strategies.posterior_settings import PosteriorSettings
from palimpsest.strategies.posteriors.posterior import Posterior
from palimpsest.strategies.registry import StrategyEntry


class MyPosteriorSettings(PosteriorSettings):
    """The settings besides those of every posterior (beta, log_variance, prior_std, temper, seed).

    A suite names them under the strategy, and ``palimpsest show strategy my_posterior --plugin
    my_posterior.py`` explains them.
    """

    power: float = Field(1.0, ge=0, description="Of 1 / age, the weight of a posterior.")


class MyPosterior(Posterior):
    """Hold each weight's posterior near the last three: ``w_i = i^-power / sum_j j^-power``.

    The base class learns means and variances, draws weights in each step, adds the divergences,
    keeps the history, and never touches a posterior that the current model does not use.
    """

    Settings = MyPosteriorSettings
    settings: MyPosteriorSettings

    @property
    def depth(self) -> int:
        """How many earlier posteriors are kept of each parameter."""
        return 3

    def weights(self, count: int) -> list[float]:
        """Return how much each of the earlier posteriors counts, for you to replace.

        Args:
            count: How many there are, from 1 to ``depth``; the latest is the first.

        Returns:
            Numbers >= 0 that add up to 1.
        """
        powers = [(1 + i) ** -self.settings.power for i in range(count)]
        return [power / sum(powers) for power in powers]


# What this file adds to Palimpsest when given as --plugin my_posterior.py.
STRATEGIES = [
    StrategyEntry(
        name="my_posterior",
        class_name="MyPosterior",
        module=__name__,
        settings=MyPosteriorSettings,
        summary="a posterior of each weight, near the last three",
        source="my own",
        memory="linear",
        brief={"beta": 0.2},
        dial=BETA,
    )
]
