"""From the plan of a search, its bank and its data to a scenario."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from palimpsest.benchmark.scenarios.assembly import assemble
from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.scenarios.streams.parts import Part, choose
from palimpsest.benchmark.scenarios.streams.windows import first_windows
from palimpsest.benchmark.search.settings import Search
from palimpsest.benchmark.search.supernet_bank import SupernetBank
from palimpsest.benchmark.training.loss import TokenLoss


def assemble_search(
    search: Search, bank: SupernetBank, part: Part, measured_samples: int | None
) -> Scenario:
    """Make the scenario of a search: every slot is an experience, and all have the same data.

    Args:
        search: The search.
        bank: Its slots.
        part: The data.
        measured_samples: How many of the validation split visits are measured on.
    """
    columns = search.columns
    scenario = assemble(
        bank,
        [part] * search.slots,
        range(search.slots),
        steps=[search.batches] * search.slots,
        curve_split="validation",
        curve_samples=measured_samples,
        chosen=choose if columns is None else partial(first_windows, columns=columns),
    )
    scenario = replace(scenario, schedule=search.schedule(), search=search)
    return scenario if columns is None else replace(scenario, loss=TokenLoss())
