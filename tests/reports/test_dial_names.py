"""Where a strategy's dial is meant, it is called by its name: a rank is no strength."""

import re
from dataclasses import replace

import pytest
from known_facts import with_dial

from palimpsest.benchmark.cli.printing.progress import describe
from palimpsest.benchmark.cli.printing.run_listing import runs as list_runs
from palimpsest.benchmark.results.selection import Selection
from palimpsest.benchmark.store.store import Store
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.html.parts import Words
from palimpsest.reports.html.sections import sections
from palimpsest.reports.markdown.strengths import chosen_strengths
from palimpsest.reports.runs.cells import dial_of, group
from palimpsest.reports.tables.results import STRENGTH, results_table
from palimpsest.reports.tables.table import Table
from palimpsest.reports.wording.words import plural
from palimpsest.strategies.base.catalogue import STRATEGIES


@pytest.fixture(scope="module")
def ranked(store, record):
    """Runs of which all that have a dial have ranks; one of them diverged."""
    own = [r for r in store if r.scenario != "same data" and r.strategy != "ewc"]
    error = "DivergedError: not finite at step 3"
    own.append(record(scenario="rotated", strategy="wpl", strength=1e9, error=error))
    return [with_dial(r, "rank") if r.strength is not None else r for r in own]


@pytest.fixture(scope="module")
def mixed(store, ranked):
    """Ranks of one strategy beside strengths of another."""
    return [*ranked, *(r for r in store if r.scenario != "same data" and r.strategy == "ewc")]


def told(records):
    """All that a report says of runs: headings, captions, cells and what figures have written."""
    found = []
    for section in sections(group(records)):
        found += [section.question, section.topic, section.intro]
        for part in section.parts:
            if isinstance(part, Plot):
                found += [part.title, part.caption, part.description]
            elif isinstance(part, Table):
                found += [part.title, part.caption]
                found += [
                    text for column in part.columns for text in (column.title, column.meaning)
                ]
                entries = [entry for row in part.rows for _, entry in part.entries(row)]
                found += [text for entry in entries for text in (entry.text, entry.note)]
            elif isinstance(part, Words):
                found += [part.paragraph, *part.items]
    return found


def test_a_report_of_ranks_speaks_of_ranks(ranked):
    texts = told(ranked)
    assert [text for text in texts if "strength" in text.lower()] == []
    assert {"ranks tried", "strategy, rank", "The chosen rank", "ranks"} <= {*texts}
    assert {"lower neighbour", "higher neighbour"} <= {*texts}
    assert [text for text in texts if re.search(r"\b(weak|strong)", text)] == []
    assert any("each half of the seeds is reported at the rank that" in text for text in texts)
    assert "How much depends on the rank" in texts


def test_beside_strengths_a_heading_is_neutral_and_rows_have_the_names(mixed):
    texts = told(mixed)
    headings = {"dial values tried", "strategy, dial value", "The chosen dial value"}
    assert headings <= {*texts}
    labels = [text for text in texts if re.match(r"(ewc|wpl), ", text)]
    assert {re.sub(r"[\d.e]+( \(.*|$)", "", text) for text in labels} >= {
        "ewc, strength ",
        "wpl, rank ",
    }
    chosen = [text for text in texts if re.match(r"(rank|strength) \d", text)]
    assert len({text.split()[0] for text in chosen}) == 2  # in the table of choices


def test_in_words_each_strategy_has_its_own_dial(record):
    tried = [
        with_dial(record([[0.9, 0.1], [0.5, 0.8]], strategy=name, strength=value, seed=seed), dial)
        for name, dial, values in (("a", "rank", (2, 4)), ("b", "density", (0.1, 0.2)))
        for value in values
        for seed in (0, 1)
    ]
    choices = choose(group([replace(run, validation_matrix=[]) for run in tried]))
    assert [choice.dial.name for choice in choices] == ["rank", "density"]
    assert dial_of(c.cell.variant for choice in choices for c in choice.tried).name == "dial value"
    assert plural("density") == "densities"
    failed = [replace(run, status="failed", accuracy_matrix=[]) for run in tried if run.seed]
    reasons = {c.reason for c in choose(group([*failed, *(r for r in tried if not r.seed)]))}
    assert reasons == {
        f"every {dial} has failed runs or runs without validation accuracies"
        for dial in ("rank", "density")
    }


def test_a_page_names_the_dial(ranked, mixed):
    for records, heading, rank in ((ranked, "rank", "1e4"), (mixed, "dial value", "rank 1e4")):
        cells = {
            f"{cell.variant.strategy}@1e4" if cell.variant.strength else cell.variant.strategy: cell
            for cell in group(records)
            if cell.scenario == "split" and cell.variant.strength in {None, 1e4}
        }
        rows = [("split", written, cell) for written, cell in cells.items()]
        table = results_table(rows, [STRENGTH], lambda _: None, {})
        assert [column.title for column in table.columns] == ["strategy", heading]
        entries = [table.entries(row) for row in table.rows]
        shown = {name.text: value.text for (_, name), (_, value) in entries}
        assert shown["wpl, rank 1e4"] == rank
        assert shown["finetune"] == "–"
        chosen = {c.variant.strategy + "@chosen": c for c in cells.values() if c.variant.strength}
        sentence = chosen_strengths({"split": chosen}, {})
        assert sentence.startswith(f"{plural(heading).capitalize()}, chosen on validation data: ")
        assert f"wpl {rank}" in sentence


def test_the_command_names_the_dial(mixed, tmp_path, capsys):
    one = {r.strategy: r for r in mixed if r.scenario == "split" and not r.seed}
    assert describe(one["wpl"]) == "split wpl rank 1e6 seed 0"
    assert describe(one["ewc"]) == "split ewc 1e6 seed 0"
    assert describe(one["finetune"]) == "split finetune seed 0"
    for names, heading, cell in (
        (["wpl", "finetune"], " rank ", " 1e6 "),
        (["ewc", "finetune"], " strength ", " 1e6 "),
        (["finetune"], " strength ", " 0 "),
        (["wpl", "ewc"], " dial value ", " rank 1e6 "),
    ):
        path = tmp_path / f"{len(names)}{names[0]}{names[-1]}.db"
        with Store(path, create=True) as store:
            for name in names:
                store.put(one[name])
        list_runs(path, Selection(), as_json=False)
        out = capsys.readouterr().out
        assert heading in out.splitlines()[0]
        assert cell in out


@pytest.mark.parametrize("name", [n for n, own in STRATEGIES.items() if own.facts.dial is not None])
def test_the_scale_of_a_shipped_dial_ends_where_its_setting_ends(name):
    entry = STRATEGIES[name]
    limits = {}
    for limit in entry.Settings.model_fields[entry.facts.dial.name].metadata:
        limits |= {end: getattr(limit, end) for end in ("ge", "le") if hasattr(limit, end)}
    assert entry.facts.dial.lowest == 0 or limits.get("ge") != 0
    assert (entry.facts.dial.highest == 1) == (limits.get("le") == 1)
