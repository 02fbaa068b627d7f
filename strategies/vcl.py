"""Variational continual learning."""

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

    Limits:
        The divergence holds a mean by its certainty, and so only as well as the variances were
        learned: they need more steps than means. A step is stiff where learning rate * beta / (N *
        variance) exceeds about 2, and diverges: with few samples take a smaller beta or a larger
        ``log_variance``. Trainings on the same data count them again, unless ``temper: models`` (it
        counts experiences, not the visits of a search). Weight decay of the scenario acts on means,
        and draws variances to where they began. Heads that grow, embeddings, normalisation and
        recurrent layers have no posterior and are not held. Noise is drawn on the CPU, so that it
        is the same on every device, and copied.
    """

    facts = Facts(
        name="vcl",
        summary="a posterior of each weight, whose prior is that of the model before",
        source="Nguyen, Li, Bui & Turner, Variational Continual Learning, ICLR 2018",
        dial=BETA,
        brief={"beta": 0.2},
    )
