"""What is left for later models, from what the runs recorded: numbers, table, figure."""

from dataclasses import replace

import numpy as np
import pytest
from figure_checks import check, laid_out
from matplotlib.colors import to_hex
from scipy import stats

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import compute
from palimpsest.reports.analysis.capacity import capacity_frame, shares_of, with_capacity
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.choosing.variants import Catalog
from palimpsest.reports.analysis.cost import cost_frame, state_bits
from palimpsest.reports.analysis.quantities import quantity_named
from palimpsest.reports.figures.drawing.marks import noted
from palimpsest.reports.figures.drawing.style import styles
from palimpsest.reports.figures.free import capacity_plot
from palimpsest.reports.html.run_details import run_details
from palimpsest.reports.html.sections import sections
from palimpsest.reports.markdown.study import Study
from palimpsest.reports.runs.cells import group
from palimpsest.reports.tables.capacity import capacity_table, layers_table
from palimpsest.reports.tables.table import MOST_COLUMNS as MOST

MODELS = 4
MATRIX = [[0.9, 0.1, 0.1, 0.1], [0.8, 0.9, 0.2, 0.1], [0.8, 0.8, 0.9, 0.2], [0.8, 0.8, 0.8, 0.9]]
SIZES = {"blocks.y.0.weight": 30, "blocks.y.0.bias": 10, "blocks.z.weight": 60}


def cost(shares, state=0):
    """A cost with the free share of each tensor after each model."""
    capacity = {
        name: {"parameters": SIZES[name], "free": list(own)} for name, own in shares.items()
    }
    return {
        "training_seconds": [1.0] * MODELS,
        "steps": [10] * MODELS,
        "consolidation_seconds": [0.0] * MODELS,
        "state_bytes": state,
        "shared_parameters": 100,
        **({"capacity": capacity} if shares else {}),
    }


def falling(start):
    return [start / (i + 1) for i in range(MODELS)]


@pytest.fixture
def runs(record):
    """Fine-tuning and freezing, a soft mask that differs by seed, a supermask that does not."""
    rng = np.random.default_rng(0)
    made = []
    for seed in range(5):
        starts = rng.uniform(0.5, 1, 3)
        soft = dict(zip(SIZES, map(falling, starts), strict=True))
        for name, own in {
            "finetune": cost({}),
            "freeze": cost(dict.fromkeys(SIZES, [0.0] * MODELS)),
            "spg": cost(soft, 400),
            "supsup": cost(dict.fromkeys(SIZES, [0.0] * MODELS), 50),
        }.items():
            made.append(replace(record(MATRIX, strategy=name, seed=seed), cost=own))
    return made


def test_a_page_asks_for_the_layer_with_the_least_left(runs):
    study = Study(runs, Catalog.of("made", group(runs)))
    found = {run.seed: run.cost["capacity"] for run in runs if run.strategy == "spg"}

    def layer(own, name, model):
        tensors = [t for n, t in own.items() if n.startswith(f"blocks.{name}")]
        sizes = [t["parameters"] for t in tensors]
        return np.average([t["free"][model] for t in tensors], weights=sizes)

    for model in (0, 3):
        least = [min(layer(own, "y", model), layer(own, "z", model)) for own in found.values()]
        assert study.free("same", "spg", "", model).mean == pytest.approx(100 * np.mean(least))
        own = [layer(own, "z", model) for own in found.values()]
        shown = study.free("same", "spg", "z", model)
        assert (shown.mean, shown.n) == (pytest.approx(100 * np.mean(own)), 5)
        assert shown.high - shown.low == pytest.approx(200 * stats.sem(own) * stats.t.ppf(0.975, 4))
    for layer_name, model, what in (("x", 0, "no layer 'x'"), ("y", 4, "models 0 to 3")):
        with pytest.raises(UserError, match=what):
            study.free("same", "spg", layer_name, model)
    with pytest.raises(UserError, match="no layer"):
        study.free("same", "finetune", "y", 0)


def test_shares_are_weighted_by_size_and_layers_join_weight_and_bias(runs):
    soft = next(cell for cell in group(runs) if cell.variant.strategy == "spg")
    shares = shares_of(soft)
    assert list(shares) == ["all shared", "y.0", "z"]
    for run in soft.done:
        weight, bias, other = (tensor["free"] for tensor in run.cost["capacity"].values())
        for i in range(MODELS):
            assert shares["y.0"][run.seed][i] == pytest.approx(0.75 * weight[i] + 0.25 * bias[i])
            whole = 0.3 * weight[i] + 0.1 * bias[i] + 0.6 * other[i]
            assert shares["all shared"][run.seed][i] == pytest.approx(whole)


def test_the_frame_has_means_and_students_intervals(runs):
    frame = capacity_frame(with_capacity(group(runs)))
    soft = frame[frame["variant"] == "spg"].set_index("models")
    assert list(soft.index) == [1, 2, 3, 4]
    values = [run.free_shares[2] for run in runs if run.strategy == "spg"]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    found = soft.loc[3, ["free", "low", "high"]].tolist()
    assert found == pytest.approx([np.mean(values), low, min(high, 1)])
    sure = frame[frame["variant"] == "supsup"]
    assert sure[["free", "low", "high"]].eq(0).all().all()
    assert set(capacity_frame(with_capacity(group(runs)), by_layer=True)["layer"]) == {"y.0", "z"}


def test_the_table_has_capacity_memory_and_transfer_beside_penalties(runs, record):
    plain = [record(MATRIX, strategy="wpl", seed=seed) for seed in range(5)]
    penalty = [replace(own, cost=cost({}, 800)) for own in plain]
    table = capacity_table(group([*runs, *penalty]))
    rows = {row.cells[0]: [e.text for _, e in table.entries(row)] for row in table.rows}
    assert list(rows) == ["finetune", "spg", "supsup", "wpl", "freeze"]
    assert rows["finetune"][1:4] == ["–", "–", "0.00"]
    assert rows["wpl"][1:4] == ["–", "–", "16.00"]
    assert rows["supsup"][1:4] == ["0.0", "0.0", "1.00"]  # a bit for each parameter and model
    assert rows["spg"][3] == "8.00"
    assert rows["spg"][4] == "−10.0"  # forgotten
    assert rows["spg"][5] == "6.7"  # gained before the own training
    intervals = {row.cells[0]: [e.interval for _, e in table.entries(row)] for row in table.rows}
    assert intervals["spg"][1].startswith("[") and not intervals["supsup"][1]


def test_layers_are_shown_as_they_are_at_the_end(runs):
    table = layers_table(group(runs))
    assert [column.title for column in table.columns] == ["strategy, strength", "y.0", "z"]
    spg = next(row for row in table.rows if row.cells[0] == "spg")
    wanted = np.mean([
        run.cost["capacity"]["blocks.z.weight"]["free"][-1] for run in runs if run.strategy == "spg"
    ])  # fmt: skip
    assert spg.cells[2].value == pytest.approx(wanted)


def test_of_many_layers_the_first_are_shown(record):
    many = {f"blocks.{i}.weight": {"parameters": 1, "free": [0.5, 0.4]} for i in range(MOST + 3)}
    run = replace(record([[0.9, 0.1], [0.5, 0.8]], strategy="gpm"), cost={"capacity": many})
    table = layers_table(group([run]))
    assert len(table.columns) == MOST + 1
    assert f"The first {MOST} of {MOST + 3} layers" in table.caption
    assert len(table.data) == MOST + 3
    assert capacity_plot(group([run]), {}) is None  # two models: the table says it all


def test_the_figure_shows_and_tells_the_means(runs):
    cells = [cell for cell in group(runs) if cell.variant.strategy != "finetune"]
    plot = capacity_plot(cells, styles(cells))
    figure = laid_out(plot)
    assert check(figure) == []
    lines = [line for line in figure.axes[0].lines if line.get_gid()]
    told_by = noted(figure)
    assert len(lines) == len(told_by) == len(cells) == 3
    for line, marks in zip(lines, told_by, strict=True):
        assert list(line.get_xdata()) == [1, 2, 3, 4]
        assert list(line.get_ydata()) == pytest.approx([100 * m.number.value for m in marks])
    assert told_by[0][1].told[:2] == ("spg", "after 2 models")


def test_a_strategy_whose_seeds_are_at_several_strengths_has_its_colour(record):
    runs = []
    for seed in range(4):
        for strength in (0.1, 0.5):
            score = 0.9 if (strength == 0.1) == (seed % 2 == 0) else 0.5
            made = record(MATRIX, strategy="spg", strength=strength, seed=seed)
            own = cost({name: falling(strength) for name in SIZES})
            runs.append(replace(made, cost=own, validation_matrix=[[score] * MODELS] * MODELS))
    (choice,) = choose(group(runs))
    assert len(choice.reported.variant.parts) == 2
    looks = styles(group(runs))
    figure = laid_out(capacity_plot([choice.reported], looks))
    (line,) = [line for line in figure.axes[0].lines if line.get_gid()]
    assert to_hex(line.get_color()) == next(iter(looks.values())).base
    assert list(line.get_ydata()) == pytest.approx([30 / (i + 1) for i in range(MODELS)])


def capacity_sections(runs):
    return [section for section in sections(group(runs)) if section.name == "capacity"]


def test_nothing_is_said_where_only_references_hold_anything(runs, record):
    (found,) = capacity_sections(runs)
    assert [part.name.rpartition("-")[2] for part in found.parts] == ["capacity", "free", "layers"]
    assert capacity_sections([run for run in runs if run.strategy in {"finetune", "freeze"}]) == []
    old = [replace(run, cost={}) for run in runs]
    assert capacity_sections(old) == []


def test_one_seed_of_an_older_version_is_left_out(runs):
    mixed = [replace(run, cost={}) if run.seed == 0 else run for run in runs]
    frame = capacity_frame(with_capacity(group(mixed)))
    assert set(frame["seeds"]) == {4}


def test_bits_are_of_shared_parameters_and_models(runs, record):
    spg = next(run for run in runs if run.strategy == "spg")
    assert state_bits(spg.cost) == 8 * 400 / (100 * MODELS)
    frame = cost_frame(group(runs)).set_index("variant")
    assert frame.loc["supsup", "state_bits"] == 1.0
    unknown = [
        {**spg.cost, "state_bytes": None},
        {**spg.cost, "shared_parameters": 0},
        {"state_bytes": 5},
        {},
    ]
    assert [state_bits(own) for own in unknown] == [None] * 4
    assert compute(quantity_named("state_bits"), spg) == state_bits(spg.cost)
    assert compute(quantity_named("free"), spg) == spg.free_shares[-1]
    assert compute(quantity_named("free"), record(MATRIX)) is None


def test_the_page_of_a_run_says_what_is_free(runs):
    details = run_details(group(runs))["runs"]
    told_of = [dict(run["cost"]).get("free after each model, %") for run in details]
    assert told_of.count("0.0, 0.0, 0.0, 0.0") == 10
    assert told_of.count(None) == 5
    assert not any("capacity" in name for run in details for name, _ in run["cost"])
