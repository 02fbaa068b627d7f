"""``palimpsest check``."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from palimpsest.benchmark.cli.models import CheckCommand
from palimpsest.benchmark.cli.printing.console import table_console
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.suites.overrides import parse_assignment

if TYPE_CHECKING:
    from palimpsest.benchmark.kit.property import PropertyResult


def check_strategies(options: CheckCommand) -> int:
    """Check the properties of the strategies that a target names, and print the verdicts.

    Returns:
        The exit code: 1 if a property fails, else 0; one that is weak is a remark.

    Raises:
        UserError: There is no such strategy or setting.
    """
    expected = "NAME=VALUE, for example form=online"
    settings = dict(parse_assignment(assignment, expected) for assignment in options.settings or ())
    logging.captureWarnings(capture=True)  # of Avalanche's imports
    from palimpsest.benchmark.kit.candidate import candidates
    from palimpsest.benchmark.kit.check import check

    found = {each.name: list(check(each)) for each in candidates(options.target, settings)}
    if options.as_json:
        rows = [{"strategy": name, **asdict(v)} for name, own in found.items() for v in own]
        say(json.dumps(rows, indent=1))
    else:
        for name, verdicts in found.items():
            _print(name, verdicts)
    return int(any(v.outcome == "fail" for own in found.values() for v in own))


def _print(name: str, verdicts: list[PropertyResult]) -> None:
    console = table_console()

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(name, no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("what was seen")
    by_outcome: dict[str, list[PropertyResult]] = {}
    first: dict[str, str] = {}  # the property that a failure was told of
    for verdict in verdicts:
        by_outcome.setdefault(verdict.outcome, []).append(verdict)
        if verdict.outcome == "not applicable":
            continue
        failed = verdict.outcome == "fail"
        seen = first.setdefault(verdict.detail, verdict.property) if failed else verdict.property
        shown = verdict.detail if seen == verdict.property else f"the same as: {seen}"
        outcome = verdict.outcome.upper() if failed else verdict.outcome
        table.add_row(verdict.property, outcome, shown)
    console.print(table, markup=False, highlight=False)
    for verdict in by_outcome.get("fail", []):
        if verdict.cause:
            tell(f"\n{verdict.property}: {verdict.meaning}\nUsual cause: {verdict.cause}")
    if apart := by_outcome.get("not applicable"):
        do = "properties do" if len(apart) > 1 else "property does"
        names = ", ".join(verdict.property for verdict in apart)
        tell(f"\n{len(apart)} {do} not apply (--json says why): {names}")
    held, weak, broken = (len(by_outcome.get(each, [])) for each in ("pass", "weak", "fail"))
    weakly = f"{weak} {'are' if weak > 1 else 'is'} weak, " if weak else ""
    tell(f"\n{name}: {held} hold, {weakly}{broken} fail\n")
