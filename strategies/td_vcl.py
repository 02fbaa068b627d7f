"""Temporal-difference variational continual learning."""

from pydantic import Field

from palimpsest.strategies.base.facts import BETA, Facts
from palimpsest.strategies.base.settings import Share
from palimpsest.strategies.n_step_kl import NStepKL, NStepKLSettings


class TDVCLSettings(NStepKLSettings):
    """Settings of temporal-difference variational continual learning."""

    decay: Share = Field(
        0.5,
        description="lambda: the weight of a posterior is lambda times that of the one after it. 0 "
        "is vcl, 1 is n_step_kl.",
    )


class TDVCL(NStepKL):
    """Hold the posterior of each weight near the last n posteriors, the latest the most (TD-VCL).

    As ``n_step_kl``, with the weights, for i = 0, 1, ..., k-1::

        of divergences    lambda^i (1 - lambda)         / (1 - lambda^k)
        of likelihoods    lambda^i (1 - lambda^(k - i)) / (1 - lambda^k)

    with lambda the ``decay``: with 0 it is ``vcl``, with 1 ``n_step_kl``. For n = 5 and 0.5 the
    divergences have the weights 0.516, 0.258, 0.129, 0.065 and 0.032.

    Source: as ``n_step_kl``, TD(lambda)-VCL.

    Limits:
        As for ``n_step_kl``; with a ``decay`` of 0.5 and two models a third of the divergence is
        from the prior.
    """

    facts = Facts(
        name="td_vcl",
        summary="a posterior of each weight, near those of the last n models, the latest the most",
        source="Melo, Abate & Gal, Temporal-Difference Variational Continual Learning, NeurIPS "
        "2025",
        dial=BETA,
        memory="linear",
        brief={"beta": 0.2},
    )
    Settings = TDVCLSettings
    settings: TDVCLSettings

    def weights(self, count: int) -> list[float]:
        """Return the powers of lambda, so that they add up to 1."""
        powers = [self.settings.decay**i for i in range(count)]
        return [power / sum(powers) for power in powers]
