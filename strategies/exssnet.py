"""Supermasks whose weights are trained exclusively (ExSSNet)."""

from torch import Tensor

from palimpsest.strategies.base.facts import DENSITY, Facts
from palimpsest.strategies.ssnet import SSNet


class ExSSNet(SSNet):
    """Learn a mask, then train those weights inside it that no earlier model uses (ExSSNet).

    As ``ssnet``, but of its mask M a model may change only ``M and not O``, where O are all masks
    of earlier models. It reads their weights, too, and nothing that they use ever moves: nothing is
    forgotten. What is left to change shrinks with every model: independent masks of density k leave
    model t a share of ``k (1 - k)^(t - 1)``.

    Source: Yadav & Bansal, Exclusive Supermask Subnetwork Training for Continual Learning, Findings
    of ACL 2023, section 3.2, and its program, github.com/prateeky2806/exessnet.

    Limits:
        Those of ``supsup``. Of independent masks of density 0.5 the tenth model has 0.1 % of the
        weights to train, of density 0.1 it has 3.9 %. The paper's knowledge transfer (KKT) is off
        unless ``begin`` says otherwise; its features are taken after the ReLU, those of the
        authors' program before it. Much of what it reaches may be the weights of one size: its
        control with ``weights: initial`` is on ``docs/which-method.md``.
    """

    facts = Facts(
        name="exssnet",
        summary="a mask for each model, then training of what no earlier mask has: nothing is "
        "forgotten",
        source="Yadav & Bansal, Exclusive Supermask Subnetwork Training, Findings of ACL 2023",
        dial=DENSITY,
        memory="linear",
        told=True,
        keeps_statistics=True,
        needs_its_model=True,
        forgets_nothing=True,
        holds_for_good=True,
        brief={"mask_steps": 3},
    )

    def editable(self, name: str, mask: Tensor) -> Tensor:
        """Return the weights of the mask that no earlier model uses."""
        return mask & ~self._earlier(name, mask)
