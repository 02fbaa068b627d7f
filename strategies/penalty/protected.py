"""Which parameters a penalty protects: all, those of a supernet's choices, or those named."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from torch import nn

from palimpsest.strategies.base.architectures import edges_of

_SHOWN = 4
"""So many names an error quotes."""


def protected(model: nn.Module, protect: str | Sequence[str]) -> frozenset[str]:
    """Return the names of the parameters that may have importance.

    Args:
        model: What is trained.
        protect: ``all``, ``edges`` (see ``strategies.base.architectures.HasEdges``), or patterns of
            names with the wildcards ``*``, ``?`` and ``[...]``.

    Raises:
        ValueError: A pattern matches no parameter, or the model does not tell its edges.
    """
    names = [name for name, _ in model.named_parameters()]
    if protect == "all":
        return frozenset(names)
    if protect == "edges":
        return edges_of(model, "protect: edges")
    assert not isinstance(protect, str)
    return frozenset(name for pattern in protect for name in _matching(pattern, names))


def _matching(pattern: str, names: Collection[str]) -> list[str]:
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        some = ", ".join(list(names)[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise ValueError(
            f"protect: the pattern {pattern!r} matches no parameter of the model, which has "
            f"{some}{more}; wildcards are *, ? and [...]"
        )
    return found
