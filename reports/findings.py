"""What came out, in words. Every number comes from the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.bootstrap import Estimate
from reports.cells import FINETUNE, INDEPENDENT, REFERENCES, Cell, by_scenario
from reports.choice import Choice
from reports.formatting import bracketed, percent, several
from reports.ratio import NOTHING, REDUCTION, UNCLEAR
from reports.statistics import Interval, mean_interval

_LITTLE = {NOTHING: "less than a point", UNCLEAR: "nothing that is clearly above zero"}


@dataclass(frozen=True)
class Finding:
    """One scenario in words.

    Attributes:
        scenario: Its name.
        references: What fine-tuning forgets and what models reach alone.
        strategies: For each strategy at the strengths that stand for it, what it avoids and costs.
    """

    scenario: str
    references: str
    strategies: list[str]


def findings(cells: Sequence[Cell], choices: Sequence[Choice]) -> list[Finding]:
    """Describe each scenario that has finished runs.

    Args:
        cells: All of a report.
        choices: What ``choice.choose`` found for them, on validation data.
    """
    found = []
    for scenario, members in by_scenario(cells).items():
        done = [cell for cell in members if cell.done]
        if not done:
            continue
        if len(done[0].done[0].accuracy_matrix) == 1:
            found.append(Finding(scenario, "One model only: there is nothing to forget.", []))
            continue
        plain = next((cell for cell in done if cell.variant.kind == FINETUNE), None)
        compared = [c for c in choices if c.scenario == scenario and c.kind not in REFERENCES]
        strategies = [_strategy(choice, plain) for choice in compared]
        found.append(Finding(scenario, _references(done), strategies))
    return found


def _references(done: Sequence[Cell]) -> str:
    sentences = []
    for cell in done:
        seeds = several(len(cell.done), "seed")
        name = cell.variant.label
        learned = bracketed(cell.interval("learning_accuracy"), "%")
        if cell.variant.kind == FINETUNE:
            loss = cell.interval("forgetting")
            if cell.removed.reason is not None:
                gain = bracketed(loss, "points", signed=True)
                forgotten = _LITTLE[cell.removed.reason]
                sentences.append(
                    f"With {name}, earlier models forget {forgotten} (forgetting {gain}; {seeds}), "
                    f"so there is nothing to remove; new models reach {learned}."
                )
            else:
                sentences.append(
                    f"With {name}, earlier models forget {bracketed(loss, 'points')}, while new "
                    f"models reach {learned} ({seeds})."
                )
        elif cell.variant.kind == INDEPENDENT:
            sentences.append(f"Trained alone ({name}), new models reach {learned} ({seeds}).")
    if not any(cell.variant.kind == FINETUNE for cell in done):
        sentences.insert(0, "What would be forgotten without protection was not measured.")
    return " ".join(sentences)


def _strategy(choice: Choice, plain: Cell | None) -> str:
    """Say what it avoids at the strengths that stand for it, and at what cost."""
    cell = choice.reported
    if cell is None:
        return f"{choice.strategy}: no strength could be chosen ({choice.reason})."
    name, seeds = cell.variant.label, several(len(cell.done), "seed")
    if choice.budget > 1:
        name += f" (chosen among {choice.budget})"
    removed = cell.interval(REDUCTION)
    if removed.mean is None or plain is None:
        stable = bracketed(cell.interval("stability"), "%")
        learned = bracketed(cell.interval("learning_accuracy"), "%")
        return f"{name}: stability {stable}; learning accuracy {learned} ({seeds})."
    avoided = _share(cell.removed.share)
    return (
        f"{name} avoids {avoided} of fine-tuning's forgetting{_price(cell, plain)}, over {seeds}."
    )


def _share(found: Estimate) -> str:
    space = "\N{NO-BREAK SPACE}"
    ends = f",{space}".join(percent(end) for end in (found.low, found.high) if end is not None)
    return f"{percent(found.value)}{space}%{f' [{ends}]' if ends else ''}"


def _price(cell: Cell, plain: Cell) -> str:
    """What new models lose or gain in accuracy against fine-tuning, seed by seed."""
    theirs = {record.seed: record.metrics.get("learning_accuracy") for record in plain.done}
    differences = []
    for record in cell.done:
        own, other = record.metrics.get("learning_accuracy"), theirs.get(record.seed)
        differences.append(None if own is None or other is None else other - own)
    lost = mean_interval(differences)
    if lost.mean is None:
        return ""
    if percent(lost.mean) == percent(0.0) or lost.mean > 0:
        return f" at a cost of {bracketed(lost, 'points')} of the new models' accuracy"
    gained = Interval(lost.n, -lost.mean, lost.half)
    return f", and new models gain {bracketed(gained, 'points')}"
