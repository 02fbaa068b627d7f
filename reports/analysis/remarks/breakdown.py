"""Strengths at which training breaks down instead of protecting more.

A run *diverged* if its failure is of that kind (``benchmark/runs/failure.py``): its numbers were no
longer finite. That is a fact, not a criterion.

A run *broke down* if it finished, but keeps at least ``LEAST_FALL`` less of the earlier models
and its new models reach at least ``LEAST_FALL`` less than in a run with the same seed of the same
strategy at some weaker strength, or of fine-tuning, which is strength 0. A penalty trades one for
the other: a stronger one that loses both protects nothing. Other dials at whose low end a strategy
is fine-tuning (a share of held rows) are like strengths. Others are not compared with fine-tuning:
a mask that is learned over weights that never change, or branches of low rank, may just be weak.
References and strategies without a dial cannot break down, they can only diverge.

One or two seeds that lose both may be a sign of training that is unstable at any strength (see
``instability.py``), so such runs count only if more than half of a variant's seeds diverged or
broke down. A run that diverged always counts.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.runs.record import BASELINE, Dial
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.runs.cells import Cell, Variant, dial_of
from palimpsest.reports.wording.numbers import strength_text
from palimpsest.reports.wording.words import several

LEAST_FALL = 0.2
"""By how much both stability and learning accuracy fall, at least, in a run that broke down."""

_WHY = (
    "its penalty is added to the gradient, which overshoots once learning rate × strength × "
    "importance exceeds about 2; application: proximal is stable at every strength"
)


@dataclass(frozen=True)
class Breakdown:
    """The seeds that a variant lost; means over the others should not be compared.

    Attributes:
        seeds: How many seeds finished or diverged.
        diverged: Those whose numbers were no longer finite.
        broken: Those that finished, but broke down; none unless most seeds are lost.
    """

    variant: Variant
    seeds: int
    diverged: tuple[int, ...]
    broken: tuple[int, ...]

    @property
    def lost(self) -> int:
        """How many seeds diverged or broke down."""
        return len(self.diverged) + len(self.broken)


def breakdowns(cells: Sequence[Cell]) -> list[Breakdown]:
    """Return the variants of one scenario that lost a seed, in the order of the cells.

    Args:
        cells: All of the scenario: runs are compared with weaker strengths and fine-tuning.
    """
    found = []
    for cell in cells:
        done = {record.seed for record in cell.done}
        diverged = {record.seed for record in cell.failed if _diverged(record)} - done
        weaker = [other for other in cells if _is_weaker(other.variant, cell.variant)]
        beside: dict[int, list[Record]] = {}
        for record in (record for other in weaker for record in other.done):
            beside.setdefault(record.seed, []).append(record)
        broken = [r.seed for r in cell.done if _loses_both(r, beside.get(r.seed, ()))]
        seeds = len(done | diverged)
        if 2 * (len(diverged) + len(broken)) <= seeds:
            broken = []
        if diverged or broken:
            found.append(Breakdown(cell.variant, seeds, tuple(sorted(diverged)), tuple(broken)))
    return found


def breakdown_sentences(cells: Sequence[Cell]) -> Iterator[str]:
    """Say from which strength on each strategy of a scenario loses seeds, and why.

    The reason is given where the penalty is added to the gradient and fine-tuning loses no seed.
    """
    found = {loss.variant: loss for loss in breakdowns(cells)}
    training_holds = not any(variant.role == BASELINE for variant in found)
    for strategy in dict.fromkeys(variant.strategy for variant in found):
        own = [cell for cell in cells if cell.variant.strategy == strategy]
        losses = [loss for variant, loss in found.items() if variant.strategy == strategy]
        tried = [cell.variant for cell in own]
        what = f"{_what(losses, dial_of(tried))}{_where(losses, tried)}"
        text = f"{strategy} {what} ({'; '.join(_counts(losses))})"
        settings = next(own[0].runs).spec.strategy.settings
        if own[0].variant.role == BASELINE:
            text += ": training itself is unstable, whatever is protected"
        elif training_holds and settings.get("application") == "gradient":
            text += f": {_WHY}{_evidence(losses, own[0], cells, found)}"
        yield f"{text}."


def _what(losses: Sequence[Breakdown], dial: Dial) -> str:
    words = ["diverges"] if any(loss.diverged for loss in losses) else []
    if any(loss.broken for loss in losses):
        words.append(
            f"breaks down (keeps and learns at least {100 * LEAST_FALL:.0f} points less than a "
            f"{dial.less} {dial.name})"
        )
    return " or ".join(words)


def _where(losses: Sequence[Breakdown], tried: Sequence[Variant]) -> str:
    first = losses[0].variant
    if first.strength is None:
        return ""
    beyond = tried[tried.index(first) :]
    if [loss.variant for loss in losses] != beyond:
        return f" at some {dial_of(tried).plural}"
    return f" from {first.setting} on" if len(beyond) > 1 else f" at {first.setting}"


def _counts(losses: Sequence[Breakdown]) -> Iterator[str]:
    """Say how many seeds each strength loses; consecutive strengths with equal losses together."""
    for text, group in groupby(losses, key=_seeds):
        strengths = [loss.variant.strength for loss in group]
        known = [strength_text(strength) for strength in strengths if strength is not None]
        yield f"{' to '.join(dict.fromkeys((known[0], known[-1])))}: {text}" if known else text


def _seeds(loss: Breakdown) -> str:
    kinds = [(len(loss.diverged), "diverged"), (len(loss.broken), "broke down")]
    (first, word), *rest = [kind for kind in kinds if kind[0]]
    seeds = several(loss.seeds, "seed")
    text = f"all {seeds} {word}" if first == loss.seeds > 1 else f"{first} of {seeds} {word}"
    return ", ".join([text, *(f"{count} {other}" for count, other in rest)])


def _evidence(
    losses: Sequence[Breakdown], own: Cell, cells: Sequence[Cell], found: Container[Variant]
) -> str:
    """Name a strategy that differs only in its application and loses no seed at these strengths."""
    for other in dict.fromkeys(cell.variant.strategy for cell in cells):
        members = {c.variant.strength: c for c in cells if c.variant.strategy == other}
        beside = [members.get(loss.variant.strength) for loss in losses]
        if all(
            cell is not None
            and cell.done
            and cell.variant not in found
            and cell.variant.kind == own.variant.kind
            and _penalty(cell) == _penalty(own)
            for cell in beside
        ):
            return f" ({other} loses no seed there)"
    return ""


def _penalty(cell: Cell) -> dict[str, object]:
    """A strategy's settings except how its penalty is applied."""
    settings = next(cell.runs).spec.strategy.without_dial.settings
    return {key: value for key, value in settings.items() if key != "application"}


def _diverged(record: Record) -> bool:
    return record.failure is not None and record.failure.kind is FailureKind.DIVERGED


def _is_weaker(other: Variant, own: Variant) -> bool:
    if own.strength is None or own.is_reference:
        return False
    if other.role == BASELINE:
        return own.dial.idle is not None and own.dial.idle <= own.strength
    same = other.strategy == own.strategy and other.strength is not None
    return same and (other.strength or 0.0) < own.strength


def _loses_both(record: Record, others: Sequence[Record]) -> bool:
    both = ("stability", "learning_accuracy")
    return any(
        all(_fall(record, other, metric) >= LEAST_FALL for metric in both) for other in others
    )


def _fall(record: Record, other: Record, metric: str) -> float:
    own, before = record.metrics.get(metric), other.metrics.get(metric)
    return 0.0 if own is None or before is None else before - own
