"""Figures of the report, asked for by a program."""

import pickle
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from benchmark.errors import UserError
from benchmark.results import Results
from reports import plot
from reports.notebook import KINDS


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


def test_a_ranking_is_over_all_scenarios_unless_one_is_named(stored):
    alone = plot("ranking", stored, scenario=stored.records[0].scenario)
    assert len(alone.axes) <= len(plot("ranking", stored).axes)


def test_a_notebook_shows_it_once_and_pyplot_knows_nothing_of_it(stored):
    before = plt.get_fignums()
    figure = plot("ranking", stored)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert plt.get_fignums() == before
    assert pickle.loads(pickle.dumps(figure)).axes


def test_it_can_be_saved_and_changed(stored, tmp_path):
    figure = plot("ranking", stored)
    figure.axes[0].set_title("mine")
    figure.savefig(tmp_path / "mine.svg")
    assert "mine" in (tmp_path / "mine.svg").read_text()


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
def test_runs_that_have_nothing_of_a_kind_are_told(record, kind):
    with pytest.raises(UserError, match=f"nothing of the kind '{kind}'; it needs"):
        plot(kind, [record(error="no")])


def test_every_kind_is_a_figure_of_the_report(rich, stored):
    """So that a figure that is renamed there is not lost here."""
    assert plot("ranks", stored).axes
    for kind in KINDS.keys() - {"ranks"}:
        assert plot(kind, rich, scenario="two").axes


def test_importing_it_is_light():
    code = "import sys, reports; sys.exit(str({'matplotlib', 'pandas'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stderr.strip() == "set()"
