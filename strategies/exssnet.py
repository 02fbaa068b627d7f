"""Supermasks whose weights are trained exclusively (ExSSNet)."""

from __future__ import annotations

from torch import Tensor

from palimpsest.strategies.ssnet import SSNet


class ExSSNet(SSNet):
    """Learn a mask, then train those weights inside it that no earlier model uses (ExSSNet).

    As ``ssnet``, but of its mask M a model may change only ``M and not O``, where O are all masks
    of earlier models. It reads their weights, too, and nothing that they use ever moves: nothing is
    forgotten. What is left to change shrinks with every model: independent masks of density k leave
    model t a share of ``k (1 - k)^(t - 1)``.

    Source: Yadav & Bansal, Exclusive Supermask Subnetwork Training for Continual Learning, Findings
    of ACL 2023, section 3.2, and its program, github.com/prateeky2806/exessnet.

    Args:
        **settings: See ``SSNetSettings``; ``density`` is the dial.
    """

    def editable(self, name: str, mask: Tensor) -> Tensor:
        """Return the weights of the mask that no earlier model uses."""
        return mask & ~self._earlier(name, mask)
