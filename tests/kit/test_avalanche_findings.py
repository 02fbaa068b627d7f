"""docs/avalanche-findings.md says what the kit finds in Avalanche's own strategies."""

import re
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

from palimpsest.benchmark.kit.candidate import candidates
from palimpsest.benchmark.kit.check import check

PAGE = (Path(__file__).parents[2] / "docs" / "avalanche-findings.md").read_text("utf-8")
RELEASE = "0.6.0"
OUTCOMES = {"holds": "pass", "**fails**": "fail", "n/a": "not applicable"}
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(
        version("avalanche-lib") != RELEASE, reason=f"the page is about Avalanche {RELEASE}"
    ),
]


def table():
    """The summary's verdicts, by strategy and property."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if line.startswith("|") and "---" not in line
    ]
    (_, *strategies), *body = rows
    return {
        name: {row[0]: OUTCOMES[row[i]] for row in body}
        for i, name in enumerate(strategies, start=1)
    }


def quotes():
    """What the page quotes of the kit's output, by strategy: the rows, each in one line."""
    found = {}
    for block in re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL):
        for part in block.split("$ palimpsest check avalanche:")[1:]:
            command, *lines = part.splitlines()
            rows = re.split(r"\n(?! )", "\n".join(lines)) if lines else []
            found.setdefault(command.split()[0], []).extend(rows)
    return found


def without_digits(text):
    """The text without what depends on the processor, and with single spaces."""
    return " ".join(re.sub(r"[\d.]+(e[+-]?\d+)?", "#", text).split())


@cache
def verdicts(name):
    (candidate,) = candidates(f"avalanche:{name}", {})
    return {found.property: found for found in check(candidate)}


every_strategy = pytest.mark.parametrize("name", table())


@every_strategy
def test_the_table_is_what_the_kit_finds(name):
    """What the page leaves out, of masks or posteriors for instance, applies to none of them."""
    found = {each: verdict.outcome for each, verdict in verdicts(name).items()}
    written = table()[name]
    assert written == {each: found.get(each) for each in written}
    assert {found[each] for each in found.keys() - written.keys()} == {"not applicable"}


@every_strategy
def test_what_is_quoted_is_what_the_kit_prints(name):
    printed = {
        without_digits(f"{v.property} {'FAIL' if v.outcome == 'fail' else v.outcome} {v.detail}")
        for v in verdicts(name).values()
    }
    quoted = {without_digits(row) for row in quotes()[name]}
    assert quoted
    assert quoted <= printed


def test_every_fault_of_a_strategy_is_explained():
    """A property that fails is quoted where it is explained, of one strategy at least."""
    failing = {each for found in table().values() for each in found if found[each] == "fail"}
    quoted = {row for rows in quotes().values() for row in rows if " FAIL " in row}
    assert len(failing) > len(next(iter(table().values()))) // 2
    assert not {each for each in failing if not any(row.startswith(each) for row in quoted)}
