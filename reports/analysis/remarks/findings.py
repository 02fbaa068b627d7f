"""The findings in sentences. Every number comes from the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palimpsest.benchmark.metrics import AVERAGE, CHANGE
from palimpsest.benchmark.runs.record import ALONE, BASELINE
from palimpsest.reports.analysis.choosing.choice import Choice
from palimpsest.reports.runs.cells import Cell, by_scenario
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.statistics.pairs import compare_pairs
from palimpsest.reports.statistics.ratio import NOTHING
from palimpsest.reports.wording.numbers import bracketed, percent
from palimpsest.reports.wording.words import several


@dataclass(frozen=True)
class Finding:
    """The findings of one scenario.

    Attributes:
        references: What fine-tuning forgets and what models reach alone.
        strategies: For each strategy at its reported strengths, what it avoids and costs.
    """

    scenario: str
    references: str
    strategies: list[str]


def findings(cells: Sequence[Cell], choices: Sequence[Choice]) -> list[Finding]:
    """Describe each scenario that has finished runs."""
    found = []
    for scenario, members in by_scenario(cells).items():
        done = [cell for cell in members if cell.done]
        if not done:
            continue
        if len(done[0].done[0].accuracy_matrix) == 1:
            found.append(Finding(scenario, "One model only: there is nothing to forget.", []))
            continue
        plain = next((cell for cell in done if cell.variant.role == BASELINE), None)
        compared = [c for c in choices if c.scenario == scenario and not c.facts.is_reference]
        if all(record.moments for cell in done for record in cell.done):
            found.append(_by_turns(scenario, done, compared))
            continue
        strategies = [_strategy(choice, plain) for choice in compared]
        found.append(Finding(scenario, _references(done), strategies))
    return found


def _by_turns(scenario: str, done: Sequence[Cell], compared: Sequence[Choice]) -> Finding:
    """Describe models that are trained by turns: none is earlier or new, each has its end."""
    sentences = []
    for cell in done:
        average = cell.interval(AVERAGE)
        if cell.variant.role in {BASELINE, ALONE} and average.value is not None:
            how = "With" if cell.variant.role == BASELINE else "Trained alone, with"
            sentences.append(f"{how} {cell.variant.label}, models end at {_reached(average)}.")
    strategies = [
        _not_chosen(choice)
        if choice.reported is None
        else f"{_named(choice, choice.reported)}: average accuracy "
        f"{_reached(choice.reported.interval(AVERAGE))}."
        for choice in compared
    ]
    return Finding(scenario, " ".join(sentences), strategies)


def _references(done: Sequence[Cell]) -> str:
    sentences = []
    for cell in done:
        name = cell.variant.label
        learned = cell.interval("learning_accuracy")
        if cell.variant.role == BASELINE:
            loss = cell.interval("forgetting")
            seeds, alike = _seeds(loss, learned)
            sentences.append(
                f"With {name}, earlier models forget "
                f"{_forgotten(loss, cell.removed.reason, alike)} new models reach "
                f"{bracketed(learned, '%', seeds=alike)}{seeds}."
            )
        elif cell.variant.role == ALONE:
            sentences.append(f"Trained alone ({name}), new models reach {_reached(learned)}.")
    if not any(cell.variant.role == BASELINE for cell in done):
        sentences.insert(0, "What would be forgotten without protection was not measured.")
    return " ".join(sentences)


def _reached(found: Estimate) -> str:
    """Write a number in per cent with its number of seeds."""
    seeds, alike = _seeds(found)
    return f"{bracketed(found, '%', seeds=alike)}{seeds}"


def _forgotten(loss: Estimate, reason: str | None, seeds: int) -> str:
    """Say how much fine-tuning forgets, and why no share of it is given, if so."""
    if reason == NOTHING:
        gain = bracketed(loss, "points", signed=True, seeds=seeds)
        return f"less than a point (forgetting {gain}), so there is nothing to remove;"
    lost = bracketed(loss, "points", seeds=seeds)
    if reason is None:
        return f"{lost}, while"
    return f"{lost}, not clearly above zero, so no share of it is given;"


def _strategy(choice: Choice, plain: Cell | None) -> str:
    """Say what a strategy avoids at its reported strengths, and at what cost."""
    cell = choice.reported
    if cell is None:
        return _not_chosen(choice)
    name = _named(choice, cell)
    removed = cell.removed
    if removed.value is None or plain is None:
        stable, learned = cell.interval("stability"), cell.interval("learning_accuracy")
        seeds, alike = _seeds(stable, learned)
        return (
            f"{name}: stability {bracketed(stable, '%', seeds=alike)}; learning accuracy "
            f"{bracketed(learned, '%', seeds=alike)}{seeds}."
        )
    lost = _lost(cell, plain)
    seeds, alike = _seeds(removed, lost)
    avoided = bracketed(removed, "%", seeds=alike)
    return f"{name} avoids {avoided} of fine-tuning's forgetting{_price(lost, alike)}{seeds}."


def _not_chosen(choice: Choice) -> str:
    return f"{choice.strategy}: no {choice.dial.name} could be chosen ({choice.reason})."


def _named(choice: Choice, cell: Cell) -> str:
    among = f" (chosen among {choice.budget})" if choice.budget > 1 else ""
    return f"{cell.variant.label}{among}"


def _seeds(*found: Estimate) -> tuple[str, int]:
    """Say once how many seeds the numbers of a sentence come from, if that is the same for all.

    Returns:
        The end of the sentence, and that number; 0 where each number has to give its own.
    """
    counts = {one.n for one in found if one.value is not None}
    if len(counts) != 1:
        return "", 0
    (n,) = counts
    return f" ({several(n, 'seed')})", n


def _lost(cell: Cell, plain: Cell) -> Estimate:
    """What new models lose in accuracy relative to fine-tuning, paired by seed."""
    ours, theirs = (
        {record.seed: record.metrics.get("learning_accuracy") for record in one.done}
        for one in (cell, plain)
    )
    return compare_pairs({"": theirs}, {"": ours}, CHANGE).difference


def _price(lost: Estimate, seeds: int) -> str:
    if lost.value is None:
        return ""
    if percent(lost.value) == percent(0.0) or lost.value > 0:
        cost = bracketed(lost, "points", seeds=seeds)
        return f" at a cost of {cost} of the new models' accuracy"
    return f", and new models gain {bracketed(-lost, 'points', seeds=seeds)}"
