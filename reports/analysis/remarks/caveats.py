"""Caveats: what weakens the conclusions from these runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from palimpsest.benchmark.metrics import LEAST_FORGETTING, METRICS
from palimpsest.benchmark.runs.record import BASELINE, ROLES
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis.choosing.choice import Choice, budgets
from palimpsest.reports.analysis.choosing.coarseness import coarse_grids
from palimpsest.reports.analysis.ranking import Standing
from palimpsest.reports.analysis.remarks.breakdown import breakdown_sentences
from palimpsest.reports.analysis.remarks.coincidence import coincidence_sentences
from palimpsest.reports.analysis.remarks.instability import instability_sentences
from palimpsest.reports.runs.cells import Cell, by_scenario, dial_of
from palimpsest.reports.statistics.collapse import GAP
from palimpsest.reports.statistics.interval import FEWEST_SEEDS
from palimpsest.reports.statistics.ratio import NOTHING
from palimpsest.reports.wording.words import joined, natural, ranges, several

ENOUGH_SEEDS = 5

_MEANS = ("stability", "learning_accuracy", "average_accuracy", "forgetting")


def caveats(
    cells: Sequence[Cell], choices: Sequence[Choice], standings: Sequence[Standing]
) -> list[str]:
    """Say what weakens the conclusions from these runs."""
    found: dict[str, list[str]] = {}
    for scenario, members in by_scenario(cells).items():
        own = [choice for choice in choices if choice.scenario == scenario]
        done = [cell for cell in members if cell.done]
        for text in (
            *breakdown_sentences(members),
            *instability_sentences(done),
            *_scenario_caveats(done),
            *_choice_caveats(own),
            *_test_caveats([s for s in standings if s.scenarios == (scenario,)]),
            *coincidence_sentences(members),
        ):
            found.setdefault(text, []).append(scenario)
    grouped = [f"{'; '.join(scenarios)}: {text}" for text, scenarios in found.items()]
    return [*_run_caveats(cells), *grouped]


def _run_caveats(cells: Sequence[Cell]) -> Iterator[str]:
    failed = sum(len(cell.failed) for cell in cells)
    total = failed + sum(len(cell.done) for cell in cells)
    if failed:
        yield (
            f"{failed} of {several(total, 'run')} failed and are not part of any number here; "
            "Failures lists their messages."
        )
    outdated = [(cell, record) for cell in cells for record in cell.outdated]
    if outdated:
        yield _outdated(outdated)
    repeated = sum(len(cell.repeated) for cell in cells) - len(outdated)
    if repeated:
        yield (
            f"{several(repeated, 'run')} with the same settings and seed as a newer one: only the "
            "newest is counted."
        )
    seen: dict[str, set[str]] = {}
    for record in (record for cell in cells for record in cell.done):
        for name, version in record.versions.items():
            seen.setdefault(name, set()).add(version)
    processors = seen.pop("processor", set())
    if len(processors) > 1:
        yield (
            f"the runs were made on different processors ({'; '.join(sorted(processors))}), which "
            "round differently: where training is chaotic, the same seed gives other numbers on "
            "another one, so differences between strategies that ran on different processors are "
            "not paired any more."
        )
    mixed = [name for name, versions in seen.items() if len(versions) > 1]
    if mixed:
        yield f"The runs were made with more than one {', '.join(mixed)}; see Provenance."


def _outdated(found: Sequence[tuple[Cell, Record]]) -> str:
    """Say which runs were made by earlier code, and when."""
    names = sorted({cell.variant.strategy for cell, _ in found}, key=natural)
    begin, end = (pick(record.started for _, record in found)[:10] for pick in (min, max))
    when = f"on {begin}" if begin == end else f"from {begin} to {end}"
    return (
        f"{several(len(found), 'run')} of {joined(names)} ({when}) came from earlier code or data: "
        "a plugin or what it loads has been edited since, or Palimpsest gives other results. Only "
        "the newest are counted; palimpsest prune removes the others."
    )


def _scenario_caveats(done: Sequence[Cell]) -> Iterator[str]:
    few = [cell for cell in done if len(cell.done) < ENOUGH_SEEDS]
    if few:
        least = min(len(cell.done) for cell in few)
        which = "all variants" if len(few) == len(done) else _listed(c.variant.label for c in few)
        effect = "intervals from so few seeds are rough"
        if least < FEWEST_SEEDS:
            effect = f"below {FEWEST_SEEDS} seeds no interval is shown, only the seeds themselves"
        yield f"fewer than {ENOUGH_SEEDS} seeds (as few as {least}) for {which}; {effect}."
    yield from _collapses(done)
    yield from _shared_statistics(done)
    yield from _stored_data(done)
    yield from _told(done)
    if any(record.moments and None in record.final_accuracy for c in done for record in c.done):
        yield "no average accuracy: not all models are evaluated after the last visit."
    if done and len(done[0].done[0].accuracy_matrix) > 1:
        yield from _missing_references(done)
        yield from _little_forgetting(done)


def _choice_caveats(choices: Sequence[Choice]) -> Iterator[str]:
    tried = budgets(choices)
    if len(set(tried.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in tried.items())
        many = dial_of(tried.cell.variant for choice in choices for tried in choice.tried).plural
        yield f"strategies were given different numbers of {many} to choose from: {counts}."
    at_end: dict[tuple[str, str, bool], list[str]] = {}
    for choice in choices:
        if choice.open_end is not None and choice.variant is not None:
            dial, end = choice.variant.dial, choice.open_end
            spent = dial.budget and end == dial.most
            text = f"{choice.strategy}, {choice.variant.value or 0}"
            at_end.setdefault((dial.name, end, spent), []).append(text)
    for (name, end, spent), members in at_end.items():
        what = "a better one may lie beyond it, so extend the range."
        if spent:
            what = (
                "more stored samples are seldom worse, up to all data, so compare methods at the "
                "same memory."
            )
        yield f"the chosen {name} of {'; '.join(members)}, is the {end} that was tried: {what}"
    if coarse := coarse_grids(choices):
        yield coarse
    optimistic = [choice for choice in choices if choice.is_optimistic]
    if optimistic:
        name = dial_of(tried.cell.variant for choice in optimistic for tried in choice.tried).name
        alone = ", ".join(choice.strategy for choice in optimistic)
        yield (
            f"the {name} of {alone} was chosen on the seed on which it is reported, since there "
            "is only one: the reported numbers are optimistic."
        )


def _test_caveats(standings: Sequence[Standing]) -> Iterator[str]:
    """Say where so few seeds have both runs of every pair that there is no test, by any metric."""
    compared = [
        found
        for standing in standings
        for row in standing.rows
        for found in (row.against_baseline, row.against_best)
        if found is not None
    ]
    most = max((found.seeds for found in compared), default=FEWEST_SEEDS)
    if most < FEWEST_SEEDS:
        yield (
            f"with {several(most, 'seed')} no difference has an interval or a test, which take "
            f"{FEWEST_SEEDS}: read effect sizes and the values of the seeds."
        )


def _collapses(done: Sequence[Cell]) -> Iterator[str]:
    """Say which means hide a few seeds that are far from all others."""
    found: dict[str, list[str]] = {}
    for metric in _MEANS:
        for cell in done:
            far = cell.interval(metric).strays
            if far is not None:
                shares = found.setdefault(cell.variant.label, [])
                shares.append(f"{metric.replace('_', ' ')} {far.count} of {len(cell.done)}")
    if found:
        listed = _listed(f"{label} ({', '.join(shares)})" for label, shares in found.items())
        yield (
            f"some seeds are far from all others, by a gap of more than {100 * GAP:.0f} points: "
            f"{listed}. Where runs collapse now and then, a mean of a few seeds says little, and "
            "its 95 % interval covers the true mean in about 55 % of cases with 5 seeds, 80 % "
            "with 10: read the median and the number of such seeds, given with the mean."
        )


def _stored_data(done: Sequence[Cell]) -> Iterator[str]:
    """Say which strategies store data of earlier models."""
    own = sorted({cell.variant.strategy for cell in done if cell.variant.facts.stores})
    if own:
        s = "s" * (len(own) == 1)
        yield (
            f"{_listed(own)} store{s} samples of earlier models and train{s} on them again, which "
            "the others do not: a reference for what such data are worth, not a better penalty."
        )


def _told(done: Sequence[Cell]) -> Iterator[str]:
    """Say which strategies are told the experience that the others have to infer."""
    told = [cell for cell in done if cell.variant.facts.told or _normalises_by_model(cell)]
    own = sorted({
        cell.variant.strategy
        for cell in told
        if cell.done[0].spec.scenario.settings.get("incremental") in ("class", "domain")
    })  # fmt: skip
    if own:
        yield (
            f"{_listed(own)} {'is' if len(own) == 1 else 'are'} told which experience a "
            "sample is from, and the others are not: do not compare them."
        )


def _normalises_by_model(cell: Cell) -> bool:
    """Whether a strategy merges weights, but evaluates each model with its running statistics."""
    statistics = any(record.cost.get("shared_statistics") for record in cell.done)
    return statistics and cell.variant.facts.merges


def _shared_statistics(done: Sequence[Cell]) -> Iterator[str]:
    """Say where running statistics are shared, which no penalty protects."""
    layers, strategies = 0, set()
    for cell in done:
        if not cell.variant.facts.keeps_statistics:
            own = max(int(record.cost.get("shared_statistics") or 0) for record in cell.done)
            layers = max(layers, own)
            strategies |= {cell.variant.strategy} if own else set()
    if layers:
        yield (
            f"{several(layers, 'normalisation layer')} with running statistics that models share: "
            "what a later model leaves there changes earlier ones although no weight moves, and no "
            f"penalty of {_listed(sorted(strategies))} sees it, at any strength. Part of the "
            "forgetting may be theirs alone; batch_norm: per_model or frozen shows how much."
        )


def _missing_references(done: Sequence[Cell]) -> Iterator[str]:
    seeds = {record.seed for cell in done for record in cell.done}
    for metric in METRICS.values():
        name, role = metric.title, metric.reference
        if role is None:
            continue
        own = [cell for cell in done if cell.variant.role == role]
        have = {record.seed for cell in own for record in cell.done}
        if not have:
            yield (
                f"no {name}, which needs a reference: add {ROLES[role]} to the suite, see "
                "'palimpsest list strategies'."
            )
        elif seeds - have:
            lacking = seeds - have
            missing = f"seed{'s' * (len(lacking) > 1)} {joined(ranges(lacking))}"
            names = joined(sorted({cell.variant.strategy for cell in own}))
            yield f"{name} is missing for {missing}: no run of {names} finished there."


def _little_forgetting(done: Sequence[Cell]) -> Iterator[str]:
    for cell in done:
        reason = cell.removed.reason
        if cell.variant.role != BASELINE or reason is None:
            continue
        if reason == NOTHING:
            text = f"{cell.variant.label} forgets less than {100 * LEAST_FORGETTING:.0f} point"
            yield f"{text} on average: {NOTHING}, and no share of it (forgetting reduction)."
        else:
            text = f"the forgetting of {cell.variant.label} is not clearly above zero"
            yield f"{text}: shares of it (forgetting reduction) would say nothing and are left out."


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    if len(known) <= 4:
        return ", ".join(known)
    return f"{', '.join(known[:3])} and {len(known) - 3} more variants"
