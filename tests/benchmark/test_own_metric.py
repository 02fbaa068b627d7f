"""A metric of the user's own: from a file or a package, everywhere, for runs of yesterday."""

import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import get_args

import pytest
from known_facts import facts_of

from palimpsest.benchmark import plugins
from palimpsest.benchmark.cli import main
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import METRICS, Metric, compute
from palimpsest.benchmark.metrics.metric import Need
from palimpsest.benchmark.plugins import load_files, load_metrics
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.store.archive import read_runs
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.suites.spec import Spec

MINE = """\
from palimpsest.benchmark.metrics import Metric


def most_lost(matrix, curves, finetuned):
    \"\"\"How many steps the curves have, per unit of accuracy of fine-tuning.\"\"\"
    return sum(len(curve["steps"]) for curve in curves) / finetuned[-1][0]


METRICS = [
    Metric("steps_measured", most_lost, "steps in the curves", unit="steps", better="lower",
           bounds=(0, 25), needs=("accuracy_matrix", "curves"), reference="baseline"),
]
"""


@pytest.fixture(autouse=True)
def as_shipped(registries):
    with registries():
        load_metrics.cache_clear()
        yield
    load_metrics.cache_clear()


def record(strategy, seed, first=0.5, steps=10, **changes):
    spec = Spec({
        "scenario": {"name": "s", "family": "split"},
        "strategy": {"name": strategy, "strategy": strategy, "settings": {}},
        "strength": None,
        "seed": seed,
        "device": "cpu",
        "results_version": 3,
    })  # fmt: skip
    return Record(
        key=f"{strategy}{seed}", suite="x", scenario="s", strategy=strategy, strength=None,
        seed=seed, spec=spec, facts=facts_of(strategy), accuracy_matrix=[[0.9, 0.1], [first, 0.8]],
        initial_accuracy=[0.1, 0.1], started="2026-01-01T00:00:00+00:00",
        curves=[{"model": 1, "steps": [*range(steps)], "accuracy": [[0.5] * steps] * 2}],
        **({"status": "done"} | changes),
    )  # fmt: skip


RUNS = [record("finetune", s, 0.5, 10) for s in range(6)]
RUNS += [record("freeze", s, 0.9, 2 + s % 2) for s in range(6)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with yesterday's store and today's metric."""
    monkeypatch.chdir(tmp_path)
    with Store("runs.db", create=True) as store:
        for run in RUNS:
            store.put(run)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    found = capsys.readouterr()
    assert "Traceback" not in found.err
    return left.value.code, found.out, found.err


PLUGIN = ("--plugin", "mine.py")


def test_it_is_there_for_runs_of_yesterday(folder, capsys):
    code, out, _ = command(capsys, "list", "runs", "--store", "runs.db", *PLUGIN, "--json")
    assert code == 0
    found = {run["key"]: run["metrics"]["steps_measured"] for run in json.loads(out)}
    assert found["finetune0"] == 10 / 0.5
    assert found["freeze3"] == 3 / 0.5


def test_it_is_listed_and_shown(folder, capsys):
    code, out, _ = command(capsys, "list", "metrics", *PLUGIN, "--json")
    (row,) = (row for row in json.loads(out) if row["name"] == "steps_measured")
    assert (code, row["unit"], row["better"]) == (0, "steps", "lower")
    assert row["needs"] == "accuracy matrix, curves, a run of a strategy that protects nothing"
    code, out, _ = command(capsys, "show", "metric", "steps_measured", *PLUGIN)
    assert code == 0
    assert out.startswith("steps measured: steps in the curves\n\nHow many steps the curves have")
    assert "Unit: steps\nBounds: 0 to 25\nBetter: lower\n" in out


def test_every_metric_that_ships_is_shown(capsys):
    for name, metric in METRICS.items():
        code, out, _ = command(capsys, "show", "metric", name)
        assert code == 0
        assert metric.meaning in out
        assert metric.source in out
    code, _, err = command(capsys, "show", "metric", "stabillity")
    assert (code, "did you mean 'stability'" in err) == (2, True)


def test_compare_knows_which_way_is_better(folder, capsys):
    with Store("after.db", create=True) as store:
        for run in RUNS:
            more = 1 + run.seed % 2 if run.strategy == "freeze" else 0
            steps = len(run.curves[0]["steps"]) + more
            store.put(record(run.strategy, run.seed, run.accuracy_matrix[-1][0], steps))
    options = ("--metrics", "steps_measured", *PLUGIN)
    code, out, _ = command(
        capsys, "compare", "runs.db", "after.db", *options, "--fail-on", "regression"
    )
    assert code == 1
    assert "steps measured" in out
    assert "1 regressed" in out
    assert "per cent (steps measured in steps)" in out
    code, out, _ = command(capsys, "compare", "after.db", "runs.db", *options, "--json")
    numbers = {change["variant"]: change for change in json.loads(out)["numbers"]}
    assert numbers["freeze"]["verdict"] == "improved"
    assert numbers["freeze"]["change"] == pytest.approx(-3.0)


def test_the_report_has_its_column_its_table_and_its_ranking(folder, capsys):
    code, _, _ = command(capsys, "report", "runs.db", "-o", "r.html", "--tables", "csv", *PLUGIN)
    assert code == 0
    page = (folder / "r.html").read_text()
    assert "Metrics of plugins" in page
    assert "By steps measured, s. The best: freeze." in page
    with (folder / "r_files" / "ranking-s-steps-measured.csv").open() as file:
        head, *rows = [line.strip().split(",") for line in file]
    best = {row[head.index("strategy")]: row[head.index("best")] for row in rows}
    assert best == {"freeze": "True", "finetune": "False"}
    high = [float(row[head.index("mean_high")]) for row in rows]
    assert max(high) <= 25  # its upper bound
    won = {row[head.index("strategy")]: row[head.index("improvement_baseline")] for row in rows}
    assert float(won["freeze"]) == 1.0


def test_an_archive_and_a_page_have_it(folder, capsys):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    code, _, err = command(capsys, "archive", "--store", "runs.db", "-o", "runs.parquet", *PLUGIN)
    assert code == 0, err
    assert parquet.read_table("runs.parquet")["metric.steps_measured"].to_pylist()[0] == 20
    (folder / "p.md.j2").write_text(
        '{{ suite("x").value("s", "freeze", "steps_measured") }} and '
        '{{ suite("x").value("s", "finetune", "steps_measured") }}'
    )
    options = ("--store", "runs.parquet", "-o", "p.md", *PLUGIN)
    code, _, err = command(capsys, "page", "p.md.j2", *options)
    assert code == 0, err
    # 4, 6, 4, 6, 4, 6: 5 -+ 2.5706 * 1.0954 / sqrt(6)
    said = (folder / "p.md").read_text().replace("\xa0", " ")
    assert "\n5 [3.85, 6.15] steps and 20 [20, 20] steps" in said


def test_a_package_can_announce_one(tmp_path, monkeypatch):
    package = tmp_path / "measuring"
    package.mkdir()
    (package / "__init__.py").write_text(MINE + "MINE = METRICS[0]\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = EntryPoint("mine", "measuring:MINE", "palimpsest.metrics")
    monkeypatch.setattr(
        "palimpsest.benchmark.plugins.packages.entry_points",
        lambda group: [made] if group == "palimpsest.metrics" else [],
    )
    load_metrics()
    assert METRICS["steps_measured"].unit == "steps"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 1 / 0", "broken.py, line 5: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "broken.py, line 5: SystemExit: 3"),
        ("return 'much'", "its function returned 'much', expected a number"),
        ("return True", "its function returned True, expected a number"),
        ("return float('nan')", "its function returned nan; return None"),
        ("return 3", "its function returned 3, outside its bounds 0 to 1"),
        ("return matrix[-1]", "its function returned [0.5, 0.8], expected a number"),
    ],
)
def test_one_that_fails_is_named_with_its_run(folder, capsys, body, message):
    (folder / "broken.py").write_text(
        "from palimpsest.benchmark.metrics import Metric\n\n\ndef bad(matrix):\n"
        f"    {body}\n\n\nMETRICS = [Metric('bad', bad, 'bad')]\n"
    )
    for arguments in (("list", "runs", "--store", "runs.db"), ("report", "runs.db")):
        code, _, err = command(capsys, *arguments, "--plugin", "broken.py")
        assert code == 2
        assert message in err
        assert "metric 'bad' cannot be computed for run fi" in err
        assert not (folder / "report.html").exists()


def test_numbers_of_numpy_are_numbers():
    import numpy as np

    metric = Metric("mine", lambda matrix: np.float32(0.5), "mine")
    found = compute(metric, RUNS[0])
    assert (found, type(found)) == (0.5, float)


def test_what_is_not_defined_needs_no_value():
    metric = Metric("mine", lambda matrix: None, "mine")
    assert compute(metric, RUNS[0]) is None
    failing = Metric("mine", lambda matrix: 1 / 0, "mine")
    assert compute(failing, record("finetune", 0, status="failed")) is None
    by_turns = replace(RUNS[0], accuracy_matrix=[])
    assert compute(failing, by_turns) is None
    assert compute(Metric("mine", lambda curves: 1, "mine", needs=("curves",)), by_turns) == 1


@pytest.mark.parametrize(
    ("unit", "scale", "of_difference"),
    [("%", 100, "points"), ("points", 100, "points"), ("s", 1, "s")],
)
def test_a_unit_says_how_a_value_and_a_difference_are_shown(unit, scale, of_difference):
    metric = Metric("mine", len, "mine", unit=unit, needs=get_args(Need))
    assert (metric.scale, metric.difference_unit) == (scale, of_difference)
    assert metric.is_percentage is (scale == 100)


@pytest.mark.parametrize("end", [0, 1])
def test_bounds_are_kept_to_rounding(end):
    for past, fits in ((0, True), (5e-10, True), (2e-9, False), (0.1, False)):
        value = end + past * (1 if end else -1)
        metric = Metric("mine", lambda matrix, value=value: value, "mine")
        if fits:
            assert compute(metric, RUNS[0]) == value
        else:
            with pytest.raises(UserError, match="outside its bounds 0 to 1"):
                compute(metric, RUNS[0])


def test_a_function_without_lines_has_no_place():
    with pytest.raises(UserError, match="finetune0: TypeError: "):
        compute(Metric("mine", int, "mine"), RUNS[0])


BROKEN = {
    "line 1: expected a Metric": "METRICS = ['stability']\n",
    "line 3: Palimpsest already has a metric 'stability'": "name='stability'",
    "'Bad name': expected a name of lower-case": "name='Bad name'",
    "line 3: 'seconds' is a column of every table of runs": "name='seconds'",
    "metric 'm': better is 'more', expected 'higher' or 'lower'": "better='more'",
    "metric 'm': bounds are (1, 1), expected two numbers": "bounds=(1, 1)",
    "metric 'm': bounds are 1, expected two numbers": "bounds=1",
    "metric 'm': needs is ('curve',), expected a tuple of some of: accuracy_matrix": (
        "needs=('curve',)"
    ),
    "metric 'm': function is 3, expected a function": "function=3",
    "metric 'm': unit is 5, expected a text": "unit=5",
    "metric 'm': source is None, expected a text": "source=None",
    "metric 'm': reference is 2, expected the role of one: baseline": "reference=2",
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_one_is_told_with_its_line(folder, capsys, message):
    text = BROKEN[message]
    if not text.startswith("METRICS"):
        options = {"name": "'m'", "function": "len", "meaning": "'x'"}
        name, value = text.split("=", 1)
        options[name] = value
        made = ", ".join(f"{name}={value}" for name, value in options.items())
        text = f"from palimpsest.benchmark.metrics import Metric\n\nMETRICS = [Metric({made})]\n"
    (folder / "broken.py").write_text(text)
    before = dict(METRICS)
    code, _, err = command(capsys, "list", "metrics", "--plugin", "broken.py")
    assert code == 2
    assert message in err
    assert "broken.py, line" in err
    assert before == METRICS


def test_it_belongs_to_no_key(folder):
    load_files([folder / "mine.py"])
    with pytest.raises(UserError, match="already adds a metric 'steps_measured'"):
        (folder / "other.py").write_text(MINE)
        load_files([folder / "other.py"])
    assert plugins.digest_of("metric", "steps_measured")
    assert {run.spec.strategy.plugin for run in read_runs(folder / "runs.db")} == {None}
