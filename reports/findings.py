"""What came out, in words, and what to keep in mind. Every number comes from the runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from benchmark.metrics import NEEDS_REFERENCE
from reports.cells import FINETUNE, INDEPENDENT, REFERENCES, Cell, by_scenario, strength_text
from reports.formatting import bracketed, percent, several

ENOUGH_SEEDS = 5
UNSTABLE = 0.1
"""How far the worst seed may learn below the mean before the training is called unstable."""


@dataclass(frozen=True)
class Finding:
    """One scenario in words.

    Attributes:
        scenario: Its name.
        references: What fine-tuning forgets and what models reach alone.
        strategies: For each strategy, what it removes and costs over its strengths.
    """

    scenario: str
    references: str
    strategies: list[str]


def findings(cells: Sequence[Cell]) -> list[Finding]:
    """Describe each scenario that has finished runs.

    No strength is called the best: that would be a choice on test data.
    """
    found = []
    for scenario, members in by_scenario(cells).items():
        done = [cell for cell in members if cell.done]
        if not done:
            continue
        if len(done[0].done[0].accuracy_matrix) == 1:
            found.append(Finding(scenario, "One model only: there is nothing to forget.", []))
            continue
        compared = [cell for cell in done if cell.variant.kind not in REFERENCES]
        groups = groupby(compared, key=lambda cell: cell.variant.strategy)
        strategies = [_strategy(name, list(group)) for name, group in groups]
        found.append(Finding(scenario, _references(done), strategies))
    return found


def caveats(cells: Sequence[Cell]) -> list[str]:
    """Say what weakens the conclusions of exactly these runs."""
    found: dict[str, list[str]] = {}
    for scenario, members in by_scenario(cells).items():
        for text in _scenario_caveats([cell for cell in members if cell.done]):
            found.setdefault(text, []).append(scenario)
    grouped = [f"{'; '.join(scenarios)}: {text}" for text, scenarios in found.items()]
    return [*_run_caveats(cells), *grouped]


def _references(done: Sequence[Cell]) -> str:
    sentences = []
    for cell in done:
        seeds = several(len(cell.done), "seed")
        name = cell.variant.label
        learned = bracketed(cell.interval("learning_accuracy"), "%")
        if cell.variant.kind == FINETUNE:
            loss = cell.interval("forgetting")
            if loss.mean is not None and loss.mean <= 0:
                gain = bracketed(loss, "points", signed=True)
                sentences.append(
                    f"With {name}, earlier models forget nothing (forgetting {gain}; {seeds}), so "
                    f"there is nothing to remove; new models reach {learned}."
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


def _strategy(name: str, cells: Sequence[Cell]) -> str:
    removed = _range(cells, "forgetting_reduction", "%")
    cost = _range(cells, "plasticity", "points", signed=True)
    stable = _range(cells, "stability", "%") or "not known"
    learned = _range(cells, "learning_accuracy", "%") or "not known"
    effect = f"avoids {removed} of fine-tuning's forgetting" if removed else f"stability {stable}"
    price = f"plasticity {cost}" if cost else f"learning accuracy {learned}"
    counts = sorted({len(cell.done) for cell in cells})
    seeds = several(counts[-1], "seed")
    if len(counts) > 1:
        seeds = f"{counts[0]} to {seeds}"
    if len(cells) == 1:
        return f"{cells[0].variant.label}: {effect}; {price} ({seeds})."
    return f"{name}, over {len(cells)} strengths: {effect}; {price} ({seeds} each)."


def _range(cells: Sequence[Cell], metric: str, unit: str, *, signed: bool = False) -> str:
    """From the lowest to the highest mean, and at which strength each was found."""
    found = [(cell.interval(metric), cell.variant.strength) for cell in cells]
    known = [(interval.mean, interval, at) for interval, at in found if interval.mean is not None]
    if not known:
        return ""
    low, high = (end(known, key=lambda item: item[0]) for end in (min, max))
    if len(known) == 1:
        return bracketed(low[1], unit, signed=signed)
    ends = (f"{bracketed(i, unit, signed=signed)}{_at(strength)}" for _, i, strength in (low, high))
    return "between " + " and ".join(ends)


def _at(strength: float | None) -> str:
    return "" if strength is None else f" at {strength_text(strength)}"


def _run_caveats(cells: Sequence[Cell]) -> Iterator[str]:
    failed = sum(len(cell.failed) for cell in cells)
    total = failed + sum(len(cell.done) for cell in cells)
    if failed:
        yield (
            f"{failed} of {several(total, 'run')} failed and count in no number here; "
            "their messages stand under Failures."
        )
    repeated = sum(len(cell.repeated) for cell in cells)
    if repeated:
        yield (
            f"{several(repeated, 'run')} with the same settings and seed as a newer one: only the "
            "newest of each counts."
        )
    seen: dict[str, set[str]] = {}
    for record in (record for cell in cells for record in cell.done):
        for name, version in record.versions.items():
            seen.setdefault(name, set()).add(version)
    mixed = [name for name, versions in seen.items() if len(versions) > 1]
    if mixed:
        yield f"The runs were made with more than one {', '.join(mixed)}; see Provenance."


def _scenario_caveats(done: Sequence[Cell]) -> Iterator[str]:
    few = [cell for cell in done if len(cell.done) < ENOUGH_SEEDS]
    if few:
        least = min(len(cell.done) for cell in few)
        which = "all variants" if len(few) == len(done) else _listed(c.variant.label for c in few)
        effect = "one seed has no interval" if least == 1 else "such intervals are rough"
        yield f"fewer than {ENOUGH_SEEDS} seeds (as few as {least}) for {which}; {effect}."
    if done and len(done[0].done[0].accuracy_matrix) > 1:
        yield from _missing_references(done)
        yield from _little_forgetting(done)
    for cell in done:
        learned = cell.interval("learning_accuracy")
        if learned.mean is None or learned.minimum is None:
            continue
        if learned.mean - learned.minimum > UNSTABLE:
            worst = min(cell.done, key=lambda r: r.metrics["learning_accuracy"] or 0.0)
            yield (
                f"training with {cell.variant.label} looks unstable: new models reach "
                f"{percent(learned.mean)} % on average, but {percent(learned.minimum)} % with seed "
                f"{worst.seed}. What looks like forgetting may be divergence."
            )


def _missing_references(done: Sequence[Cell]) -> Iterator[str]:
    seeds = {record.seed for cell in done for record in cell.done}
    for metric, kind in NEEDS_REFERENCE.items():
        name = metric.replace("_", " ")
        have = {r.seed for cell in done if cell.variant.kind == kind for r in cell.done}
        if not have:
            yield f"no {name}, which needs a reference: add the strategy {kind} to the suite."
        elif seeds - have:
            missing = ", ".join(str(seed) for seed in sorted(seeds - have))
            yield f"{name} lacks seed {missing}, for which no run of {kind} finished."


def _little_forgetting(done: Sequence[Cell]) -> Iterator[str]:
    for cell in done:
        loss = cell.interval("forgetting")
        if cell.variant.kind != FINETUNE or loss.mean is None or loss.low is None:
            continue
        if loss.mean > 0 >= loss.low:
            yield (
                f"the interval of the forgetting of {cell.variant.label} reaches down to zero: "
                "shares of it (forgetting reduction) are rough."
            )
        spared = sum(1 for record in cell.done if (record.metrics["forgetting"] or 0.0) <= 0)
        if 0 < spared < len(cell.done):
            yield (
                f"{cell.variant.label} forgot nothing with {several(spared, 'seed')} of "
                f"{len(cell.done)}; forgetting reduction is not defined there and leaves them out."
            )


def _listed(names: Iterator[str]) -> str:
    known = list(names)
    if len(known) <= 4:
        return ", ".join(known)
    return f"{', '.join(known[:3])} and {len(known) - 3} more variants"
