import base64
import hashlib
import json
import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.results.selection import Selection
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.store.store import SuiteNote
from palimpsest.reports.formats.export import Exports
from palimpsest.reports.html.report import write_report
from palimpsest.reports.html.watching import waiting_page

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags balance, and keeps what tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words, self.scripts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        (self.scripts if inside == "script" else self.words).append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))

    @property
    def runs(self):
        return json.loads(self.scripts[0])["runs"]


@pytest.fixture
def report(tmp_path):
    def write(records):
        path = tmp_path / "report.html"
        write_report(records, path, sources=["store.db"], command="palimpsest report x")
        return Page(path.read_text(encoding="utf-8"))

    return write


@pytest.fixture(scope="module")
def text(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    write_report(store, path, sources=["store.db"], command="palimpsest report store.db")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_every_section_is_there_in_order(page, text):
    ids = [value for tag, name, value in page.attributes if (tag, name) == ("section", "id")]
    assert ids == ["answer", "compared", "ranking", "protection", "training", "models", "origin"]
    assert page.tags.count("svg") == 18
    assert 'spread">[' in text
    assert 'spread">(seeds' not in text
    for phrase in (
        "Palimpsest report: paper",
        "151 runs: 6 strategies",
        "earlier models forget",
        "1 of 151 runs failed",
        "loss became NaN at step 12",
        "store.db",
        "palimpsest report store.db",
        "2.15.0",
        "seeds 0 to 4",
        "@inproceedings{benyahia2019overcoming",
        "@misc{palimpsest",
    ):
        assert phrase in page.text


def test_a_file_knows_nothing_of_a_server(text):
    for word in ("connect-src", "fetch(", "under-way", "sessionStorage"):
        assert word not in text


def test_a_page_before_the_first_report_may_ask_its_server_and_nobody_else():
    text = waiting_page("a <b>.db")
    page = Page(text)
    assert "Palimpsest: a <b>.db" in page.text
    (policy,) = (v for _, name, v in page.attributes if name == "content" and "-src" in v)
    script = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert set(policy.split("; ")) == {
        "default-src 'none'",
        f"script-src 'sha256-{script}'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "connect-src 'self'",
    }


def test_it_asks_for_nothing_from_outside(text, page):
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert ("script", "src") not in {(tag, name) for tag, name, _ in page.attributes}
    links = [v for _, name, v in page.attributes if name in {"href", "src", "xlink:href"}]
    inside = ("#", "data:image/png;base64,", "data:application/gzip;base64,")
    assert all(link.startswith(inside) for link in links)
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink",
    }  # fmt: skip
    assert "@import" not in text
    assert "url(http" not in text


def test_only_its_own_script_may_run(text, page):
    assert page.tags.count("script") == 2  # one has the data
    digest = hashlib.sha256(page.scripts[1].encode()).digest()
    [policy] = [v for tag, name, v in page.attributes if (tag, name) == ("meta", "content")
                and "default-src" in v]  # fmt: skip
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert "default-src 'none'" in policy


def test_every_run_is_in_the_page_once(page, store):
    runs = page.runs
    assert len(runs["rows"]) == len(store) == 151
    places = {name: place for place, (name, _) in enumerate(runs["columns"])}
    assert {runs["texts"][row[places["key"]]] for row in runs["rows"]} == {r.key for r in store}
    errors = [runs["texts"][row[places["error"]]] for row in runs["rows"]]
    assert [error for error in errors if error] == ["loss became NaN at step 12"]


def test_ids_are_unique_and_links_arrive(page):
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_it_is_accessible(page):
    assert ("html", "lang", "en") in page.attributes
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.tags.count("table") == page.tags.count("caption")
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.tags.count("th")
    labels = [v for tag, name, v in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == page.tags.count("svg")


def test_the_same_runs_give_the_same_file(store, text, tmp_path):
    few = [record for record in store if record.scenario == "same data" and record.seed < 2]
    for name in ("a.html", "b.html"):
        write_report(few, tmp_path / name, sources=["store.db"], command="again")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]
    assert len(text) < 2e6


def test_names_and_messages_are_escaped(record, report, tmp_path):
    bad = """</script><script>alert(1)</script><!--"'&"""
    records = [
        record([[0.9, 0.1], [0.5, 0.8]], scenario=bad, strategy=bad, suite=bad, curves=[
            {"model": 1, "steps": [0, 9], "accuracy": [[0.9, 0.5], [0.1, 0.8]]}
        ]),
        record(scenario=bad, strategy=bad, seed=1, error=bad, settings={bad: bad}),
    ]  # fmt: skip
    found = report(records)
    assert found.tags.count("script") == 2
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script") == 2
    assert "<!--" not in text
    assert bad in found.text
    assert bad in found.runs["texts"]


def test_a_traceback_is_folded_away_under_its_message(record, report, tmp_path):
    failed = record(error="KeyError: 'x'", seed=1)
    traceback = "Traceback <module>\n  File \"my_reg.py\", line 7\nKeyError: 'x'\n"
    failure = Failure(FailureKind.ERROR, "KeyError: 'x'", traceback)
    found = report([record([[0.9]]), replace(failed, failure=failure)])
    assert "1 run (error): same, finetune, seed 1" in " ".join(found.text.split())
    assert " ".join(traceback.split()) in " ".join(found.text.split())
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    folded = text[text.index("<details><summary>Traceback</summary>") :]
    assert folded.index("Traceback &lt;module&gt;") < folded.index("</details>")
    assert "<summary>Traceback</summary>" not in report_of(record(error="x"), tmp_path)


def report_of(run, folder):
    write_report([run], folder / "other.html", sources=["a.db"], command="again")
    return (folder / "other.html").read_text(encoding="utf-8")


def test_it_says_what_the_suites_ask_and_keeps_their_order(record, tmp_path):
    runs = [
        record([[0.9]], scenario=scenario, strategy=name)
        for scenario in ("a first", "z last")
        for name in ("finetune", "ewc", "wpl")
    ]
    asked = SuiteNote("paper", "Does <wpl>\nhelp?", ("z last", "a first"), ("wpl", "ewc"))
    unrelated = SuiteNote("other", "Something else", (), ())
    page = partial(write_report, output=tmp_path / "r.html", sources=["a.db"], command="again")
    page(runs, suites=[asked, unrelated])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert '<p class="lead clamp">Does &lt;wpl&gt; help?</p>' in text
    assert "Something else" not in text
    assert "(finetune, wpl, ewc)" in text
    assert re.findall('<option value="[^"]*" data-name="([^"]+)"', text) == ["z last", "a first"]
    places = [text.index(f"{name}</h3>") for name in ("z last", "a first")]
    assert places == sorted(places)
    page([runs[0], record([[0.9]], suite="other")], suites=[asked, unrelated], by="family")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "paper: Does &lt;wpl&gt; help? other: Something else</p>" in text
    page(runs[:1])
    assert (tmp_path / "r.html").read_text(encoding="utf-8").count('class="lead') == 1


def test_no_runs_are_the_users_error(tmp_path):
    with pytest.raises(UserError, match="no finished runs"):
        write_report([], tmp_path / "report.html", sources=[], command="")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def two_suites(record):
    """A suite of two strategies, and a newer one of others, which asks for one of these, too."""
    early = [
        record([[0.9, 0.1], [0.5 + 0.01 * seed, 0.8]], strategy=name, seed=seed, suite="early")
        for name in ("finetune", "ewc")
        for seed in range(4)
    ]
    late = [
        record(
            [[0.8, 0.1], [0.6 + 0.01 * seed, 0.7]],
            strategy=name,
            seed=seed,
            suite="late",
            scenario=scenario,
            started="2026-05-01T10:00:00+00:00",
        )
        for scenario, name in (("same", "wpl"), ("turned", "wpl"), ("turned", "si"))
        for seed in range(4)
    ]
    notes = [
        SuiteNote("early", "First?", ("same",), ("finetune", "ewc")),
        SuiteNote("late", "Second?", ("same", "turned"), ("finetune", "wpl", "si")),
    ]
    return [*early, *late], notes


def rows_of(runs):
    """The table of runs, as the page holds it: a dict for each run."""
    names, kinds = zip(*runs["columns"], strict=True)
    return [
        {
            name: runs["texts"][value] if kind == "text" else value
            for name, kind, value in zip(names, kinds, row, strict=True)
        }
        for row in runs["rows"]
    ]


def test_a_report_of_several_suites_has_a_chapter_for_each_the_newest_first(two_suites, tmp_path):
    runs, notes = two_suites
    exports = Exports(tmp_path / "files", ["csv"], ["svg"])
    write_report(
        runs, tmp_path / "r.html", sources=["a.db"], command="c", suites=notes, exports=exports
    )
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    parsed = Page(text)
    ids = [value for _, name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    places = [text.index(f'id="{name}"') for name in ("late-chapter", "early-chapter", "origin")]
    assert places == sorted(places)
    late, early = (text[a:b] for a, b in pairwise(places))
    for chapter, asked, other in ((late, "Second?", "First?"), (early, "First?", "Second?")):
        assert asked in chapter
        assert other not in chapter
        assert 'class="board"' in chapter
        assert "<svg" in chapter
    # What a suite did not run makes no rows in another's tables; what both ask for is in both.
    assert "wpl" not in early
    assert "ewc" not in late
    assert "finetune" in early
    assert "finetune" in late
    assert "failed" not in late
    boards = json.loads(parsed.scripts[0])["answers"]
    assert set(boards) == {"early-same", "late-all", "late-same", "late-turned"}
    keys = [row["key"] for row in rows_of(parsed.runs)]
    assert sorted(keys) == sorted(run.key for run in runs), "each run is listed once"
    index = pd.read_csv(tmp_path / "files" / "index.csv").set_index("name")
    assert index["title"]["early-verdicts-same"].endswith(": early, same")
    assert sorted(pd.read_csv(tmp_path / "files" / "runs.csv")["key"]) == sorted(keys)


def test_a_suite_that_is_chosen_is_reported_as_if_it_were_alone(two_suites, tmp_path):
    runs, notes = two_suites
    chosen = Selection(suites=["early"])
    page = partial(write_report, output=tmp_path / "r.html", sources=["a.db"], command="c")
    page(chosen.only(runs, notes), suites=chosen.narrowed(notes))
    one = (tmp_path / "r.html").read_bytes()
    page([run for run in runs if run.suite == "early"], suites=notes[:1])
    assert (tmp_path / "r.html").read_bytes() == one
    assert b'id="answer"' in one
    assert b"data-chapter" not in one.split(b"<script")[0]


def test_a_report_can_have_a_chapter_for_each_value_of_a_setting(record, tmp_path):
    runs = [
        record(
            [[0.9, 0.1], [accuracy + 0.01 * seed, 0.8]],
            strategy=name,
            seed=seed,
            scenario_settings={"width": width},
            started=f"2026-03-01T10:00:00+00:{width % 60:02}",
        )
        for width, accuracy in ((100, 0.7), (20, 0.5))
        for name in ("finetune", "ewc")
        for seed in range(4)
    ]
    page = partial(write_report, output=tmp_path / "r.html", sources=["a.db"], command="c")
    page(runs, by="width")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    titles = re.findall('<h2 class="chapter clamp"[^>]*>([^<]*)<', text)
    assert titles == ["width 20", "width 100"]
    rows = rows_of(Page(text).runs)
    assert {row["scenario"] for row in rows} == {"same"}
    assert {row["scenario.width"] for row in rows} == {"20", "100"}
    with pytest.raises(UserError, match="--by: no run has a setting 'wdth'; did you mean 'width'"):
        page(runs, by="wdth")
