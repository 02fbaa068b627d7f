"""What a scenario of the user's own loads belongs to the keys of its runs."""

import os

import pytest
from PIL import Image

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.results.run_settings import differing
from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.reports.runs.provenance import scenario_facts

TABLE = '''\
from pathlib import Path
from typing import Literal

from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings


class Table(ScenarioSettings):
    """Two halves of a table."""

    family: Literal["table"] = "table"

    def build(self, seed, root, device):
        import torch
        from torch import nn

        from palimpsest.benchmark.models.bank import ModelBank
        from palimpsest.benchmark.scenarios.streams.parts import Part

        rows = [line.split(",") for line in Path("table.csv").read_text().split()]
        y = torch.tensor([int(row[-1]) for row in rows])
        x = torch.tensor([[float(value) for value in row[:-1]] for row in rows])
        own = (x, y)
        bank = ModelBank({"shared": nn.Linear(2, 2)}, [["shared"], ["shared"]], 2)
        return self.assemble(bank, [Part(own, own, own)] * 2, labels=[0, 1])


SCENARIOS = [Table]
'''

ROWS = "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(20))


@pytest.fixture
def project(registries, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text(ROWS)
    (tmp_path / "mine.py").write_text(TABLE)
    with registries():
        load_files([tmp_path / "mine.py"])
        yield tmp_path


def run_of(project, seeds=1, **settings):
    scenario = {"family": "table", "steps": 2, "curve": {"every": 0}, **settings}
    suite = {"suite": "mine", "seeds": seeds, "scenarios": {"t": scenario}}
    return load_suite(suite | {"strategies": {"finetune": {}}}).runs("cpu", project)[0]


def test_other_labels_of_a_file_that_a_scenario_reads_are_other_runs(project):
    before = run_of(project)
    assert before.spec.scenario.content is not None
    assert run_of(project).key == before.key
    (project / "table.csv").write_text(ROWS.replace(",1\n", ",x\n").replace(",0\n", ",1\n"))
    text = (project / "table.csv").read_text().replace(",x\n", ",0\n")
    (project / "table.csv").write_text(text)
    assert run_of(project).key != before.key
    (project / "table.csv").write_text(ROWS)
    assert run_of(project).key == before.key


def test_the_content_tells_runs_apart_in_frames(project):
    before = run_of(project)
    (project / "table.csv").write_text(ROWS.replace("3,", "4,"))
    records = [Record(**run.cell(), status="done") for run in (before, run_of(project))]
    assert differing(records) == ["scenario.content"]


def test_the_seeds_of_a_suite_change_no_key(project):
    keys = {run_of(project, seeds=[3]).spec.scenario.content, run_of(project).spec.scenario.content}
    assert len(keys) == 1


def test_facts_are_those_of_settings_that_it_reads(project):
    run = run_of(project)
    facts = dict(scenario_facts(Record(**run.cell(), status="done")))
    assert not {"data", "samples", "validation", "width", "activation"} & facts.keys()
    assert facts["steps"] == "2"
    assert run.spec.scenario.fingerprints == {}


def test_data_that_cannot_be_trained_on_are_told_with_the_scenario(project):
    (project / "table.csv").write_text(ROWS.replace("3,2,1", "nan,2,1"))
    with pytest.raises(UserError, match=r"scenarios\.t.*NaN"):
        run_of(project)


def images(folder):
    for label in ("one", "two"):
        (folder / label).mkdir(parents=True)
        for shade in range(10):
            image = Image.new("L", (8, 8), 20 * shade + len(label))
            image.save(folder / label / f"{shade}.png")


@pytest.mark.parametrize("within", ["imgs", "data/imgs", "elsewhere"])
def test_all_ways_to_write_a_path_have_one_key(tmp_path, monkeypatch, within):
    work, root = tmp_path / "work", tmp_path / "work" / "data"
    root.mkdir(parents=True)
    monkeypatch.chdir(work)
    folder = tmp_path / within if within == "elsewhere" else work / within
    images(folder)
    relative = os.path.relpath(folder, work)
    names = {str(folder), relative, f"./{relative}", f"{folder}/", f"{folder}/../{folder.name}"}
    found = set()
    for name in names:
        scenario = {"family": "two_models", "data": f"folder:{name}", "steps": 2}
        suite = {"suite": "s", "seeds": 1, "scenarios": {"t": scenario}}
        (run,) = load_suite(suite | {"strategies": {"finetune": {}}}).runs("cpu", root)
        found.add((run.key, run.spec.scenario.settings["data"]))
    expected = str(folder) if within == "elsewhere" else "imgs"
    assert {data for _, data in found} == {f"folder:{expected}"}
    assert len(found) == 1
