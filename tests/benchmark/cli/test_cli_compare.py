"""``palimpsest compare``, and ``palimpsest report`` on several stores and into files."""

import json
import warnings
from dataclasses import replace

import pytest
from known_facts import facts_of

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.store.store import Record, Store
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.reports.formats.export import FIGURES
from palimpsest.reports.formats.images import MissingGlyphs

MATRIX = [[0.9, 0.1], [0.7, 0.8]]


def make(strategy="finetune", strength=None, seed=0, *, drop=0.0, key=None, error=None):
    matrix = [[value - drop + 0.001 * seed for value in row] for row in MATRIX]
    return Record(
        key=key or f"{strategy}-{strength}-{seed}",
        suite="small",
        scenario="split",
        strategy=strategy,
        strength=strength,
        seed=seed,
        status="failed" if error else "done",
        failure=Failure(FailureKind.ERROR, error) if error else None,
        facts=facts_of(strategy),
        spec=Spec(
            {
                "scenario": {"name": "split", "family": "split"},
                "strategy": {
                    "name": strategy,
                    "strategy": strategy,
                    "settings": {"strength": strength},
                },
                "seed": seed,
                "device": "cpu",
            }
        ),
        accuracy_matrix=[] if error else matrix,
        initial_accuracy=[0.1, 0.1],
        started="2026-03-01T10:00:00+00:00",
    )


SEEDS = 9
BASE = [make(seed=s) for s in range(SEEDS)] + [make("wpl", 1e4, seed=s) for s in range(SEEDS)]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes stores into the current, empty folder."""
    monkeypatch.chdir(tmp_path)

    def put(name, records):
        with Store(tmp_path / name, create=True) as store:
            for record in records:
                store.put(record)

    put("a.db", BASE)
    return put


def command(capsys, *arguments):
    """The exit code and what was printed."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return left.value.code, *capsys.readouterr()


def worse(*, drop=0.05):
    return [*BASE[:SEEDS], *(make("wpl", 1e4, seed=s, drop=drop) for s in range(SEEDS))]


def test_equal_stores(write, capsys):
    write("b.db", BASE)
    code, out, err = command(capsys, "compare", "a.db", "b.db", "--fail-on", "regression")
    assert (code, err) == (0, "")
    assert out == "2 cells compared, 18 numbers: 18 equal\n"


def test_a_regression_is_shown_and_fails_only_where_asked(write, capsys):
    write("b.db", worse())
    code, out, _ = command(capsys, "compare", "a.db", "b.db")
    assert code == 0
    header, first = out.splitlines()[1:3]
    assert "A: a.db" in header
    assert "B: b.db" in header
    assert first.split() == [
        "split", "wpl,", "strength", "1e4", "average", "accuracy", "75.40", "70.40",
        "-5.00", "[-5.00,", "-5.00]", "9", "paired", "<0.001", "regressed",
    ]  # fmt: skip
    assert "numbers: " in out.splitlines()[-1]
    assert "regressed" in out.splitlines()[-1]
    assert command(capsys, "compare", "a.db", "b.db", "--fail-on", "regression")[0] == 1
    assert command(capsys, "compare", "b.db", "a.db", "--fail-on", "regression")[0] == 0


def test_a_run_that_fails_now(write, capsys):
    write("b.db", [*BASE[: SEEDS + 1], *(make("wpl", 1e4, seed=s, error="boom") for s in (1, 2))])
    code, out, _ = command(capsys, "compare", "a.db", "b.db", "--fail-on", "regression")
    assert code == 1
    assert "regressed: split: wpl, strength 1e4: fails only in b.db, seed 1, 2: boom\n" in out
    assert out.endswith("; 2 runs regressed\n")


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_what_few_seeds_cannot_tell_does_not_pass_in_silence(write, capsys, seeds):
    write("few.db", BASE[:seeds])
    write("other.db", [make(seed=s, drop=0.3) for s in range(seeds)])
    stores = ("compare", "few.db", "other.db", "--metrics", "stability")
    code, out, _ = command(capsys, *stores, "--fail-on", "regression")
    assert code == 0
    assert out.count("undetermined, 4 seeds can tell") == 1
    assert "1 number undetermined: so few seeds cannot tell" in out
    assert "4 seeds in both stores can." in out
    assert "--fail-on regression lets them pass, --fail-on undetermined does not" in out
    assert "1 undetermined" in out.splitlines()[-1]
    assert command(capsys, *stores, "--fail-on", "undetermined")[0] == 1
    found = json.loads(command(capsys, *stores, "--json")[1])
    assert (found["regressed"], found["undetermined"]) == (False, True)
    (number,) = found["numbers"]
    assert (number["verdict"], number["p"], number["low"]) == ("undetermined", None, None)
    assert number["change"] == pytest.approx(-0.3)


def test_what_is_neither_changed_nor_the_same_is_undetermined(write, capsys):
    """Enough seeds, no change found, but nobody knows within 6 points."""
    write("b.db", [make(seed=s, drop=0.06 * (-1) ** s) for s in range(SEEDS)])
    stores = ("compare", "a.db", "b.db", "--metrics", "stability")
    code, out, _ = command(capsys, *stores, "--fail-on", "regression")
    assert code == 0
    assert "noise" not in out
    assert (
        "1 number undetermined: no change was found, but the interval reaches further than a "
        "difference that is negligible (1 point), so that they are not known to be the same" in out
    )
    assert command(capsys, *stores, "--fail-on", "undetermined")[0] == 1
    write("c.db", [make(seed=s, drop=0.003 * (-1) ** s) for s in range(SEEDS)])
    same = ("compare", "a.db", "c.db", "--metrics", "stability", "--fail-on", "undetermined")
    assert command(capsys, *same)[0] == 0


def test_many_undetermined_numbers_are_cut_short(write, capsys):
    records = [make("wpl", float(s), seed) for s in range(9) for seed in range(3)]
    write("c.db", records)
    write("d.db", [make("wpl", r.strength, r.seed, drop=0.001 * r.seed) for r in records])
    _, out, _ = command(capsys, "compare", "c.db", "d.db")
    assert "and 24 more undetermined (--json prints all)" in out
    assert "54 numbers undetermined" in out
    assert "... and" not in command(capsys, "compare", "a.db", "c.db")[1]


def test_what_only_one_store_has(write, capsys):
    extra = [make("freeze", seed=0), make("freeze", seed=1), make(seed=77), make("independent")]
    write("b.db", [*BASE, *extra])
    code, out, _ = command(capsys, "compare", "a.db", "b.db")
    assert code == 0
    assert "only in b.db: split: freeze; independent\n" in out
    assert "only in b.db: 1 run of cells that both have\n" in out
    assert "only in b.db: plasticity of 2 cells\n" in out


def test_json_has_every_number_and_nothing_else_is_printed(write, capsys):
    write("b.db", worse())
    code, out, err = command(capsys, "compare", "a.db", "b.db", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["stores"] == {"a": "a.db", "b": "b.db"}
    assert found["cells"] == 2
    assert sum(found["counts"].values()) == len(found["numbers"]) == 18
    assert found["regressed"] is True
    (number,) = (
        n
        for n in found["numbers"]
        if (n["variant"], n["metric"]) == ("wpl, strength 1e4", "stability")
    )
    assert number["b"] - number["a"] == pytest.approx(-0.05)
    assert (number["paired"], number["verdict"]) == (True, "regressed")


def of_width(width, drop=0.0, started="2026-03-01T10:00:00+00:00", **scenario):
    """The runs of ``BASE`` at a width, in a scenario of the same name."""
    return [
        replace(
            made,
            key=f"{made.key}-{width}-{drop}-{scenario}",
            started=started,
            spec=Spec({
                **made.spec.data,
                "scenario": {**made.spec.data["scenario"], "width": width, **scenario},
            }),
        )
        for made in (
            make(r.strategy, r.strength, r.seed, drop=drop + 0.002 * (r.seed % 3)) for r in BASE
        )
    ]  # fmt: skip


def changes(capsys, *arguments):
    code, out, _ = command(capsys, "compare", *arguments, "--metrics", "stability", "--json")
    assert code == 0
    found = json.loads(out)
    return found, [(n["scenario"], round(n["change"], 4)) for n in found["numbers"]]


def test_runs_that_differ_in_a_setting_that_is_ignored_are_compared(write, capsys):
    write("narrow.db", of_width(20))
    write("wide.db", of_width(50, drop=0.1))
    code, _, err = command(capsys, "compare", "narrow.db", "wide.db")
    assert code == 2
    assert "nothing to compare" in err
    found, numbers = changes(capsys, "narrow.db", "wide.db", "--ignore", "width")
    assert numbers == [("split", -0.1)] * 2
    assert found["cells"] == 2
    # What differs in something else, too, is no pair.
    write("other.db", of_width(50, drop=0.1, steps=7) + of_width(30, drop=0.2, batch_size=4))
    code, _, err = command(capsys, "compare", "narrow.db", "other.db", "--ignore", "scenario.steps")
    assert code == 2
    found, numbers = changes(capsys, "wide.db", "other.db", "--ignore", "steps")
    assert [change for _, change in numbers] == [0.0, 0.0]
    assert [(gap["side"], gap["what"]) for gap in found["one_sided"]] == [("b", "cell")] * 2


def test_runs_of_one_setting_that_both_stores_have_are_paired_first(write, capsys):
    write("one.db", of_width(20))
    write("both.db", of_width(20, drop=0.1) + of_width(50, drop=0.3))
    found, numbers = changes(capsys, "one.db", "both.db", "--ignore", "width")
    assert [change for _, change in numbers] == [-0.1] * 2
    assert {gap["side"] for gap in found["one_sided"]} == {"b"}


def test_two_values_of_a_setting_in_one_store_are_compared_the_earlier_first(write, capsys):
    later = "2026-04-01T10:00:00+00:00"
    write("one.db", of_width(50, started="2026-03-01T10:00:00+00:00"))
    write("one.db", of_width(20, drop=0.1, started=later))
    found, numbers = changes(capsys, "one.db", "--ignore", "width")
    assert found["stores"] == {"a": "width 50", "b": "width 20"}
    assert numbers == [("split", -0.1)] * 2
    _, out, _ = command(capsys, "compare", "one.db", "--ignore", "width", "--strategies", "wpl")
    assert "finetune" not in out
    assert "A: width 50" in out
    write("one.db", of_width(30, started=later))
    code, _, err = command(capsys, "compare", "one.db", "--ignore", "width")
    assert code == 2
    assert "3 values of it (width 20; width 30; width 50), expected two" in err


MISTAKES = [
    (["compare", "a.db", "no.db"], "no.db: there is no store here"),
    (["compare", "a.db", "a.db"], "a.db: this store is named twice"),
    (["compare", "a.db", "./a.db"], "this store is named twice"),
    (["compare", "a.db"], "expected two stores, or one store and --ignore"),
    (["compare", "a.db", "--ignore", "family"], "a.db has 1 value of it (family split)"),
    (["compare", "a.db", "far.db", "--ignore", "famly"], "did you mean 'family'?"),
    (["compare", "a.db", "far.db", "--strategies", "wpl"], "far.db: this store has no run of"),
    (["compare", "a.db", "far.db", "--scenario", "splits"], "did you mean 'split'?"),
    (["report", "a.db", "--suite", "smal"], "no run of the suite 'smal'; did you mean 'small'?"),
    (["report", "a.db", "--by", "famly"], "--by: no run has a setting 'famly'"),
    (["compare", "a.db", "empty.db"], "empty.db: this store has no runs yet"),
    (["compare", "a.db", "far.db"], "there is nothing to compare"),
    (["compare", "a.db", "text.txt"], "not a Palimpsest store"),
    (["compare", "a.db", "far.db", "--metrics", "stabilty"], "did you mean 'stability'?"),
    (["compare", "a.db", "far.db", "--metrics", ""], "--metrics: unknown metric ''"),
    (["compare", "a.db", "far.db", "--fail-on", "noise"], "--fail-on"),
    (["report", "a.db", "a.db"], "this store is named twice"),
    (["report", "empty.db"], "no finished runs"),
    (["report", "a.db", "--tables", "cvs"], "did you mean 'csv'?"),
    (["report", "a.db", "--figures", "svg,gif"], "--figures: unknown format 'gif'"),
    (
        ["report", "a.db", "--files", "x"],
        "--files x: there are no files to write; add --tables or --figures",
    ),
    (["report", "a.db", "-o", "."], "this is a folder"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_exits_with_2_and_writes_nothing(write, tmp_path, capsys, arguments, message):
    write("empty.db", [])
    write("far.db", [make("freeze")])
    (tmp_path / "text.txt").write_text("This is a text and no database. " * 50)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = command(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_reports_of_stores_that_disagree_put_them_side_by_side(write, tmp_path, capsys):
    write("b.db", worse())
    code, out, _ = command(capsys, "report", "a.db", "b.db", "-o", "both.html")
    assert (code, out) == (0, f"{tmp_path / 'both.html'}\n")
    page = (tmp_path / "both.html").read_text()
    assert "wpl [a.db]" in page
    assert "wpl [b.db]" in page
    assert "finetune [" not in page
    assert "a.db and b.db; a run that is in several of them counts once, but where" in page


def test_a_report_as_files(write, tmp_path, capsys):
    options = ("-o", "r.html", "--tables", "csv", "--tables", "latex", "--figures", "svg")
    code, out, _ = command(capsys, "report", "a.db", *options)
    assert code == 0
    assert out.splitlines() == [str(tmp_path / "r.html"), str(tmp_path / "r_files")]
    suffixes = {path.suffix for path in (tmp_path / "r_files").iterdir()}
    assert suffixes == {".csv", ".tex", ".svg"}
    assert ": split," in (tmp_path / "r_files" / "index.csv").read_text()  # which scenario
    assert command(capsys, "report", "a.db", *options, "--files", "here")[0] == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "here").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "r_files").iterdir()
    }


def test_characters_that_figures_lack_are_said_in_a_line(write, tmp_path, capsys):
    def warn(plot):
        warnings.warn(MissingGlyphs("策"), stacklevel=1)
        return b"\x89PNG\r\n"

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FIGURES, "png", warn)
        code, _, err = command(capsys, "report", "a.db", "-o", "r.html", "--figures", "png")
    assert code == 0
    assert [line for line in err.splitlines() if "策" in line] == [
        "warning: PNG and PDF figures show boxes for 策, which no installed font has; install one "
        "that does, such as Noto Sans, or write SVG"
    ]
