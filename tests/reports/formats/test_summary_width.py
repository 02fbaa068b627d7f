"""The table that a run ends with is readable at 80 columns, for every suite that is shipped."""

import re
from itertools import groupby
from pathlib import Path

import pytest
from rich.cells import cell_len

from palimpsest.benchmark.cli.printing import summary
from palimpsest.benchmark.cli.printing.console import table_console
from palimpsest.benchmark.cli.printing.summary import print_summary
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.reports.formats.terminal import summary_rows

ROOT = Path(__file__).parents[3]
SUITES = sorted((ROOT / "configs").rglob("*.yaml"))
MINE = re.search(r"```yaml\n(suite: mine\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
NUMBER = re.compile("[+\N{MINUS SIGN}]?\\d+\\.\\d+")


@pytest.fixture
def at_width(monkeypatch, capsys):
    def show(records, width):
        monkeypatch.setattr(summary, "table_console", lambda: table_console(width))
        print_summary(records)
        return capsys.readouterr().out

    return show


@pytest.fixture
def runs_of(record):
    """Finished runs of everything that a suite asks for, without training."""

    def make(suite, seeds, far=False):
        found = []
        for scenario, settings in suite.scenarios.items():
            alone = settings.model_dump(mode="json")
            for seed in range(seeds):
                low = 0.3 if far and seed == 1 else 0.0
                lost = [[0.9, 0.1], [0.6 - low + 0.01 * seed, 0.951]]
                references = {"baseline": lost, "alone": [[0.9, 0.1], [0.9, 0.96]]}
                found += [
                    record(
                        [[0.9, 0.1], [0.8 - low + 0.012 * seed, 0.94]],
                        scenario=scenario,
                        strategy=strategy.name,
                        kind=strategy.kind,
                        strength=strength,
                        seed=seed,
                        references=references,
                        scenario_settings={"family": alone["family"]},
                    )
                    for strategy in suite.strategies.values()
                    for strength in strategy.strengths
                ]
        return found

    return make


def folded(text):
    return re.sub(r"\s", "", text)


def check_table(out, records, width):
    assert max(map(cell_len, out.splitlines())) <= width
    assert "…" not in out
    tables = re.split(r"\n\n", out.strip("\n"))
    scenarios = [list(own) for _, own in groupby(summary_rows(records), lambda row: row.scenario)]
    assert len(tables) == len(scenarios)
    for table, rows in zip(tables, scenarios, strict=True):
        assert folded(table).startswith(folded(rows[0].scenario) + ":")
        body, _, notes = table.partition("\n*")
        names = folded("".join(line[: table_left(body)] for line in body.splitlines()[1:]))
        shown = iter(NUMBER.findall(body))
        for row in rows:
            assert folded(row.variant) in names
            assert f"{100 * row.metrics['average_accuracy'].value:.1f}" in shown
        remarks = [line for line in f"*{notes}".splitlines() if line.startswith("*")]
        assert len(remarks) == len(set(remarks))


def table_left(body):
    """Where the first column ends: right before the titles of the others begin."""
    titles = next(line for line in body.splitlines() if line.lstrip().startswith("strategy"))
    return len("strategy") + re.search(r"\s+", titles[len("strategy") :]).end() - 1


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_shipped_suite(path, runs_of, at_width):
    records = runs_of(load_suite(path), 4)
    check_table(at_width(records, 80), records, 80)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize("far", [False, True])
def test_the_suite_of_the_readme(width, seeds, far, runs_of, at_width, tmp_path):
    (tmp_path / "mine.yaml").write_text(MINE)
    records = runs_of(load_suite(tmp_path / "mine.yaml"), seeds, far)
    out = at_width(records, width)
    check_table(out, records, width)
