"""A page and a report made of an archive are those made of its stores."""

import re

import pytest
from command_line import command
from test_page_template import EVERYTHING

from palimpsest.benchmark.store.store import Store

pytest.importorskip("pyarrow")


@pytest.fixture
def stores(tmp_path, runs):
    """Half of the runs each, and some in both."""
    found = []
    for name, own in (("a.db", runs[:90]), ("b.db", runs[80:])):
        with Store(tmp_path / name, create=True) as made:
            for run in own:
                made.put(run)
        found += ["--store", tmp_path / name]
    return found


def test_the_page_is_the_same_to_the_last_byte(stores, tmp_path):
    (tmp_path / "page.md.j2").write_text(EVERYTHING)
    assert command("archive", *stores, "-o", tmp_path / "runs.parquet") == 0
    for folder, source in (("x", stores), ("y", ["--store", tmp_path / "runs.parquet"])):
        output = tmp_path / folder / "page.md"
        assert command("page", tmp_path / "page.md.j2", *source, "-o", output) == 0
    written = [
        {path.name: path.read_bytes() for path in (tmp_path / folder).rglob("*.*")}
        for folder in ("x", "y")
    ]
    assert len(written[0]) == 7
    assert written[0] == written[1]


@pytest.mark.thorough
def test_a_report_differs_only_in_the_name_of_the_store(runs, tmp_path):
    store, archive = tmp_path / "a.db", tmp_path / "a.parquet"
    with Store(store, create=True) as made:
        for run in runs[:90]:
            if run.scenario == "k3" and run.seed < 2:
                made.put(run)
    assert command("archive", "--store", store, "-o", archive) == 0
    texts = []
    for path in (store, archive):
        assert command("report", path, "-o", tmp_path / "report.html") == 0
        text = (tmp_path / "report.html").read_text()
        texts.append(re.sub(r"a\.(db|parquet)", "STORE", text))
    assert texts[0] == texts[1]
    assert command("compare", store, archive) == 0
