"""Variational continual learning."""

from __future__ import annotations

from palimpsest.strategies.base.facts import BETA, Facts
from palimpsest.strategies.posteriors.posterior import Posterior


class VCL(Posterior):
    """Hold the posterior of each weight near the one before (VCL).

    The posterior of one training is the prior of the next: a step minimises::

        mean loss at drawn weights + beta * T / N * KL(q || q_previous)

    See ``Posterior`` for what has a posterior, how weights are drawn, and what N and T are. The
    divergence is 0 when a training begins. What no earlier model used, such as a new head, has a
    prior of its own.

    Source: Nguyen, Li, Bui & Turner, Variational Continual Learning, ICLR 2018, equation 4, without
    coresets. Theirs has means that begin at those of a trained network, variances that begin at
    1e-6, and draws of each layer's outputs in place of its weights (local reparametrisation).

    Args:
        **settings: See ``PosteriorSettings``; ``beta`` is the dial.
    """

    facts = Facts(
        name="vcl",
        summary="a posterior of each weight, whose prior is that of the model before",
        source="Nguyen, Li, Bui & Turner, Variational Continual Learning, ICLR 2018",
        dial=BETA,
        brief={"beta": 0.2},
    )
