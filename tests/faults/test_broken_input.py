"""Whatever is read is used or refused in a sentence: never another exception, never without end."""

import copy
import json
import random
import shutil
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import replace

import pytest
import torch
import yaml
from command_line import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from known_facts import facts_of

from palimpsest.benchmark.data.copies import find_copies
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.scenarios.assembly import assemble
from palimpsest.benchmark.scenarios.checking import check_experiences
from palimpsest.benchmark.scenarios.streams.parts import Part
from palimpsest.benchmark.store.archive import read_runs
from palimpsest.benchmark.store.store import Record, Store, SuiteNote
from palimpsest.benchmark.suites.file import shipped_suites
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.suites.overrides import Assignment
from palimpsest.benchmark.suites.spec import Spec


def cheaply(examples):
    """The same examples each time, as many as fit into a few seconds."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=10_000,  # ms: what hangs fails
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def used_or_refused(function, *arguments, **options):
    """Call a function; it may refuse in a sentence of a reasonable length."""
    try:
        return function(*arguments, **options)
    except UserError as error:
        told = str(error)
        assert told
        assert len(told) < 2000
        assert "\n" not in told
        return None


QUICK = shipped_suites()["quick"]
PIECES = [
    *["*a", "&a [*a]", "<<: *a", "{", "[", "}", "]", "- ", "? ", ": ", "!!bool x", "!!set {a}"],
    *["!!python/object:os.system x", "!!binary aGk=", "0x" + "f" * 5000, "9" * 5000, "1e999"],
    *[".nan", "2020-99-99", "1:1:1", '"\\ud800"', '"\\0"', "\t", "\x01", "[" * 200, "{a: " * 200],
    *["--- \n", "...\n", "%YAML 9\n", "null", "~", "=", "\n", "  ", "'", '"', "|", ">", "\ufeff"],
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@cheaply(150)
@given(st.data())
def test_a_mutated_suite_file(tmp_path, data):
    text = QUICK
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        piece = data.draw(st.sampled_from(PIECES) | st.text(max_size=5))
        text = text[:start] + piece + text[end:]
    file = tmp_path / "suite.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    used_or_refused(load_suite, file)


def places(content, path=()):
    yield path
    if isinstance(content, list):
        content = dict(enumerate(content))
    for key, part in content.items() if isinstance(content, dict) else ():
        yield from places(part, (*path, key))


PLACES = list(places(yaml.safe_load(QUICK)))[1:]


@cheaply(250)
@given(st.sampled_from(PLACES), values, st.booleans())
def test_another_value_anywhere(place, value, as_key):
    content = yaml.safe_load(QUICK)
    inside = content
    for part in place[:-1]:
        inside = inside[part]
    if as_key and isinstance(value, str | int | float | None) and isinstance(inside, dict):
        inside[value] = inside.pop(place[-1])
    else:
        inside[place[-1]] = value
    suite = used_or_refused(load_suite, content)
    if suite is not None and len(suite.seeds) < 10:
        assert suite.note.name == suite.name


@cheaply(150)
@given(st.text(max_size=30) | st.sampled_from(PIECES), st.text(max_size=10))
def test_any_option(value, path):
    small = {"suite": "x", "scenarios": {"split": {}}, "strategies": {"wpl": {}}}
    for text in (f"scenarios.split.width={value}", f"{path}={value}", value):
        assignment = used_or_refused(Assignment.parse, text)
        if assignment is not None:
            used_or_refused(load_suite, small, settings=[text])
    used_or_refused(load_suite, small, seeds=value)
    used_or_refused(load_suite, small, strategies=value.split(","))


def stored(seed):
    spec = {
        "scenario": {"name": "s", "family": "two_models"},
        "strategy": {"name": "finetune", "strategy": "finetune", "settings": {}},
        "strength": None,
        "seed": seed,
    }
    return Record(
        key=f"k{seed}",
        suite="suite",
        scenario="s",
        strategy="finetune",
        strength=None,
        seed=seed,
        status="done",
        spec=Spec(spec),
        facts=facts_of("finetune"),
        accuracy_matrix=[[0.9, 0.1], [0.5, 0.8]],
        curves=[{"model": 0, "steps": [0, 5], "accuracy": [[0.1, 0.9]]}],
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "runs.db"
    with Store(path, create=True) as store:
        store.put_suite(SuiteNote("suite", "", ("s",), ("finetune",)))
        for seed in range(20):
            store.put(stored(seed))
    return path.read_bytes()


def read_all(path):
    """Read what a report reads."""
    for run in read_runs(path):
        _ = run.metrics, run.spec.scenario.settings, run.spec.strategy.kind
    with Store(path) as store:
        store.suites()


@cheaply(150)
@given(st.integers(0), st.integers(1, 60), st.none() | st.integers(0))
def test_a_store_with_flipped_or_missing_bytes(whole, tmp_path, seed, flips, cut):
    damaged, choose = bytearray(whole), random.Random(seed)
    for _ in range(flips):
        damaged[choose.randrange(len(damaged))] = choose.randrange(256)
    if cut is not None:
        del damaged[cut % len(damaged) :]
    path = tmp_path / "runs.db"
    path.write_bytes(damaged)
    used_or_refused(read_all, path)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a/0", "a/1", "b/0", "b/1"):
            archive.writestr(f"{name}.pgm", b"P5 4 4 255 " + name.encode() * 6)
    return path.read_bytes()


@cheaply(150)
@given(st.integers(0), st.integers(0, 8), st.none() | st.integers(0))
def test_a_zip_of_images_with_flipped_or_missing_bytes(images, tmp_path, monkeypatch, seed, n, cut):
    monkeypatch.setattr(
        "palimpsest.benchmark.data.cache.user_cache_path", lambda name: tmp_path / name
    )
    damaged, choose = bytearray(images), random.Random(seed)
    for _ in range(n):
        damaged[choose.randrange(len(damaged))] = choose.randrange(256)
    if cut is not None:
        del damaged[cut % len(damaged) :]
    path = tmp_path / "images.zip"
    path.write_bytes(damaged)
    used_or_refused(find_copies, path)


shapes = arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)


@cheaply(80)
@given(
    arrays.arrays("float32", shapes, elements=st.floats(width=32)),
    st.integers(-2, 4),
    st.sampled_from([torch.int64, torch.float32, torch.bool]),
)
def test_data_of_any_shape_with_any_labels(inputs, label, kind):
    good = torch.zeros(2, 3), torch.arange(2)
    bank = ModelBank({"all": torch.nn.Linear(3, 3)}, [["all"]], 3)
    x = torch.from_numpy(inputs)
    part = Part((x, torch.full((len(x),), label).to(kind)), good, good)
    fits = kind == torch.int64 and 0 <= label < 3 and len(x) > 0
    fits = fits and x.shape[1:] in {(3,), (1, 3), *((n, 3) for n in range(6))}
    fits = fits and bool(torch.isfinite(x).all())
    options = {"steps": [1], "curve_split": "test", "curve_samples": None}
    scenario = assemble(bank, [part], [0], **options)
    try:
        check_experiences(scenario)
    except UserError as error:
        assert not fits, error
    else:
        assert fits


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["model", "steps", "accuracy", "visit", "rows", "absent", "refit"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
FULL = {
    "accuracy_matrix": [[0.9, 0.1], [0.5, 0.8]],
    "validation_matrix": [[0.7, None], [0.6, 0.5]],
    "initial_accuracy": [0.1, 0.1],
    "curves": [
        {"model": 0, "steps": [0, 5], "accuracy": [[0.1, 0.9]]},
        {"model": 1, "steps": [0, 5], "accuracy": [[0.9, 0.5], [0.1, 0.8]]},
    ],
    "moments": [{"visit": 0, "steps": 5, "accuracy": [0.5, 0.5]}],
    "cost": {
        "training_seconds": [1.0, 2.0],
        "steps": [5, 5],
        "state_bytes": 8,
        "shared_parameters": 4,
        "capacity": {"a": {"parameters": 4, "free": [1.0, 0.5]}},
    },
    "probes": {"refit": {"rows": [{"model": 0, "before": 0.5, "after": 0.6}]}},
    "versions": {"torch": "2"},
}
INSIDE = [(column, *place) for column, whole in FULL.items() for place in places(whole)]
SCALARS = ["strength", "seed", "seconds", "peak_memory", "started", "status", "suite", "scenario"]


@cheaply(15)
@given(st.data())
def test_a_run_with_another_value_anywhere(tmp_path, capsys, data):
    """The commands show the run, or refuse it in a sentence, and then a copy without it is made."""
    place = data.draw(st.sampled_from(INSIDE) | st.sampled_from([(name,) for name in SCALARS]))
    value = data.draw(JSON)
    path, saved = tmp_path / "runs.db", tmp_path / "saved.db"
    for old in tmp_path.glob("*.db*"):
        old.unlink()
    good = [replace(stored(seed), **FULL) for seed in range(2)]
    good = [replace(run, key=run.spec.key()) for run in good]
    with Store(path, create=True) as store:
        for run in good:
            store.put(run)
    column = place[0]
    if column in FULL:
        content = {column: copy.deepcopy(FULL[column])}
        inside = content
        for part in place[:-1]:
            inside = inside[part]
        inside[place[-1]] = value
        value = json.dumps(content[column])
    elif isinstance(value, list | dict):
        value = json.dumps(value)
    with closing(sqlite3.connect(path)) as connection, connection:
        try:
            connection.execute(f"UPDATE runs SET {column} = ? WHERE seed = 1", [value])
        except sqlite3.IntegrityError:  # the table itself refuses it
            return
    key = good[1].key
    capsys.readouterr()
    codes = {
        command("list", "runs", "--store", path),
        command("list", "runs", "--json", "--store", path),
        command("show", "run", key, "--store", path),
        command("export", path, "-o", tmp_path / "runs.csv"),
    }
    told = capsys.readouterr().err
    assert codes <= {0, 2}, told
    assert "Traceback" not in told
    if codes == {0}:
        return
    assert all(str(path) in line or key in line for line in told.splitlines()), told
    if command("doctor", path, "--save", saved) == 1:
        assert command("show", "run", good[0].key, "--store", saved) == 0
        assert read_runs(saved)[0].key == good[0].key
        assert len(read_runs(saved)) == 1


@pytest.mark.parametrize("words", ["report PATH", "compare PATH PATH.2", "export PATH -o OUT.csv"])
def test_no_command_shows_a_run_whose_matrix_is_no_square(tmp_path, capsys, words):
    path = tmp_path / "runs.db"
    with Store(path, create=True) as store:
        store.put(replace(stored(0), accuracy_matrix=[[0.5, 0.1], [0.5]]))
    shutil.copy(path, f"{path}.2")
    assert command(*words.replace("PATH", str(path)).split()) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert f"{path}: a run cannot be read (run 'k0': its accuracy_matrix is [[" in told
    assert "expected a square" in told
    assert f"'palimpsest doctor {path} --save NEW.db' saves the others" in told
