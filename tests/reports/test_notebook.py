"""Figures of the report, asked for by a program."""

import pickle
import re
import subprocess
import sys
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure
from searching import searches

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.results.results import Results
from palimpsest.reports import figures as folder
from palimpsest.reports import notebook, plot
from palimpsest.reports.figures import figure
from palimpsest.reports.figures.figure import figures
from palimpsest.reports.html.anchors import anchor
from palimpsest.reports.html.sections import sections
from palimpsest.reports.runs.cells import group

KINDS = figures()


@pytest.fixture(scope="module")
def stored(store, tmp_path_factory):
    """Runs of several scenarios, as a program has them."""
    return Results(tmp_path_factory.mktemp("plots") / "runs.db", tuple(store))


@pytest.mark.parametrize("kind", ["frontier", "curves", "matrices", "strengths"])
def test_a_figure_of_one_scenario(stored, kind):
    scenario = stored.records[0].scenario
    figure = plot(kind, stored, scenario=scenario)
    assert isinstance(figure, Figure)
    assert figure.axes
    with pytest.raises(UserError, match="several scenarios; name one, scenario="):
        plot(kind, stored)
    assert plot(kind, [r for r in stored if r.scenario == scenario]).axes


def test_a_notebook_shows_it_once_and_pyplot_knows_nothing_of_it(stored):
    before = plt.get_fignums()
    figure = plot("ranking", stored)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert plt.get_fignums() == before
    assert pickle.loads(pickle.dumps(figure)).axes


@pytest.mark.parametrize(
    ("kind", "scenario", "message"),
    [
        ("fronteir", None, "unknown kind 'fronteir'; did you mean 'frontier'"),
        ("frontier", "nowhere", "no scenario 'nowhere' here"),
    ],
)
def test_a_mistake_is_told(stored, kind, scenario, message):
    with pytest.raises(UserError, match=message):
        plot(kind, stored, scenario=scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_for_a_kind_is_told(record, kind):
    nothing = f"nothing of the kind '{kind}' to draw:"
    with pytest.raises(UserError, match=f"{nothing} there are no runs; give what run_suite"):
        plot(kind)
    with pytest.raises(UserError, match=rf"{nothing} the 2 runs failed \(no\); it needs finished"):
        plot(kind, [record(error="no"), record(error="other", seed=1)])
    if kind != "matrices":
        with pytest.raises(UserError, match=re.escape(f"{nothing} it needs {KINDS[kind].needs}")):
            plot(kind, [record([[0.9]])])


@pytest.mark.parametrize("last", [[0.5, 0.25], [None, 0.25]], ids=["of all", "of some"])
@pytest.mark.parametrize("kind", KINDS)
def test_models_trained_by_turns_have_what_is_drawn_of_their_ends(record, kind, last):
    moments = [{"visit": 1, "steps": 5, "accuracy": last, "validation_accuracy": last}]
    probes = {"distance": {"absent": "none starts from another"}}
    runs = [
        replace(record(**one, seed=seed), moments=moments, probes=probes)
        for seed in (0, 1)
        for one in ({}, *({"strategy": "wpl", "strength": s} for s in (1.0, 10.0)))
    ]
    if kind in {"ranking", "strengths"} and None not in last:
        assert plot(kind, runs).axes
        return
    expected = KINDS[kind].needs
    if KINDS[kind].shows == "turns":
        expected = "models that are trained one after another, and these are trained by turns"
    elif KINDS[kind].shows == "end" and None in last:
        expected = "a last visit after which all models are evaluated"
    elif kind == "distance":
        expected = "the probe has recorded nothing (none starts from another)"
    with pytest.raises(UserError, match=re.escape(expected)):
        plot(kind, runs)


@pytest.mark.parametrize("runs", [None, 3, pd.DataFrame({"a": [1]}), [None]], ids=str)
def test_what_is_no_run_is_told(runs):
    with pytest.raises(UserError, match=f"what run_suite or.* got a {type(runs).__name__}"):
        plot("frontier", runs)


def test_a_kind_that_is_left_out_is_told(stored):
    with pytest.raises(UserError, match="the kind comes first, and is a DataFrame; expected"):
        plot(pd.DataFrame())
    with pytest.raises(UserError, match="the kind comes first, and is a Results"):
        plot(stored)


def test_every_figure_of_the_report_can_be_asked_for(record, rich, stored):
    for kind in ("ranks", "profile"):
        assert plot(kind, stored).axes
    searched = [kind for kind, own in KINDS.items() if "searches" in own.needs]
    assert sorted(searched) == ["gains", "rewards", "truth", "visits"]
    runs = searches(record)
    for kind in searched:  # the truth is of another scenario
        assert plot(kind, runs, scenario="fast").axes
    for kind in KINDS.keys() - {"ranks", "profile", "free", *searched}:
        assert plot(kind, rich, scenario="two").axes


def test_a_figure_is_built_alone(stored, monkeypatch):
    built = []
    spied = {
        kind: replace(own, build=lambda scope, own=own: built.append(own.name) or own.build(scope))
        for kind, own in KINDS.items()
    }
    monkeypatch.setattr(notebook, "figures", lambda: spied)
    alone = [record for record in stored if record.scenario == "split"]
    monkeypatch.setattr(figure, "choose", lambda cells: pytest.fail("it shows every strength"))
    plot("frontier", alone)
    assert built == ["plane"]


NEW = """
from palimpsest.reports.figures.drawing.canvas import canvas
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.figure import Figure


def build(scope):
    seeds = [float(len(cell.done)) for cell in scope.done]

    def draw():
        figure, ((ax,),) = canvas([2.0], 1)
        ax.plot(seeds)
        return figure

    return Plot("Seeds", "How many.", "Seeds of each variant", pd.DataFrame({"n": seeds}), draw)


FIGURE = Figure("seeds", "cost", 2, build, "finished runs")
"""


def test_a_figure_in_a_file_of_the_folder_is_in_the_report_and_in_a_notebook(
    stored, tmp_path, monkeypatch
):
    (tmp_path / "seeds.py").write_text("import pandas as pd\n" + NEW)
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    figures.cache_clear()
    try:
        assert plot("seeds", stored, scenario="split").axes
        (cost,) = (own for own in sections(group(stored.records)) if own.name == "cost")
        names = [part.name for part in cost.parts]
    finally:
        monkeypatch.undo()
        figures.cache_clear()
    assert names == [f"scenario-{anchor(name)}-seeds" for name in ("rotated", "same data", "split")]


def test_importing_it_is_light():
    code = (
        "import sys, palimpsest.reports; sys.exit(str({'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stderr.strip() == "set()"
