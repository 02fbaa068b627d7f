import os
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.suites.spec import Spec

EVERYTHING = """\
---
paper: {k3: 63}
read_off:
  k3:
    plain: {model: 0, variant: finetune, steps: [0, 100, 500], accuracy: [92, 80, 60]}
---
# Page
{% set s = suite("paper") %}
{% set many = suite("sequence") %}
{% set names = {"wpl": "WPL", "finetune": "plain"} %}
{{ s.runs }} runs, {{ s.failed }} failed, {{ s.seeds }} seeds ({{ s.seed_names }}), {{ s.time }},
{{ s.workers }} workers, torch {{ s.versions.torch }}, {{ s.scenarios | join(", ") }}.
Paper {{ paper.k3 }}, here {{ s.value("k3", "finetune", "first_after") }}.
{% if s.value("k3", "wpl@1e6", "removed").mean > 90 %}
Removed.
{% endif %}
{% set d = s.difference("k3", "wpl@1e4", "l2@1e2", "second") %}
Difference {{ d }} ({{ d.p_text }}), {{ d.n }} pairs; volume {{ s.hypervolume("k3", "wpl") }}.
{{ s.strengths("k3", "wpl") | join(" ") }} {{ s.strength("k3", "l2@chosen") }}

{{ s.table(["k3"], s.variants("k3"), ["first_after", "removed"]) }}

{{ s.curves("curves", "Both.", variants=["finetune", "wpl@chosen"], first=50, reference=read_off,
            labels=names) }}

{{ s.lines("layers", scenarios={"k1": 1, "k3": 3}, variants=["finetune", "wpl@1e4"],
           axis="shared layers", reference={"first_after": {"finetune": {1: 82, 3: 63}}}) }}

{{ s.lines("strengths", scenario="k3", series={"WPL": {100: "wpl@1e2", 10000: "wpl@1e4"}},
           variants=["l2@1e4"], quantities=["second"], axis="strength") }}

{{ s.map("map", ["a"], ["one", "three"], {("a", "one"): "k1", ("a", "three"): "k3"}, "finetune") }}

{{ s.frontier("plane", strategies=["wpl", "wpl_gradient", "l2"], labels=names) }}

{{ many.growth("growth", variants=["finetune", "wpl@1e4"]) }}
"""


def test_suites_are_joined_where_no_scenario_is_in_both(render, runs):
    text, _ = render(
        "{% set s = suite('paper', 'sequence') %}{{ s.runs }} "
        "{{ suite('paper').runs + suite('sequence').runs }} {{ s.scenarios | length }}",
        runs,
    )
    together, apart, scenarios = text.split()[-3:]
    assert together == apart
    assert int(scenarios) == len({(run.suite, run.scenario) for run in runs})
    again = [replace(run, suite="copy") for run in runs if run.suite == "paper"]
    with pytest.raises(UserError, match=r"suites paper and copy both have a scenario 'k1'"):
        render("{{ suite('paper', 'copy').runs }}", [*runs, *again])


def test_a_strategy_of_joined_suites_has_one_name_whatever_its_settings(render, runs):
    """Each suite may have tuned it for its own problem."""
    tuned = []
    for run in runs:
        if run.suite == "sequence" and run.strategy == "wpl":
            own = {**run.spec.strategy.data, "settings": {"samples": 7}}
            run = replace(run, spec=Spec({**run.spec.data, "strategy": own}))
        tuned.append(run)
    asked = "{{ suite('paper', 'sequence').variants(suite('sequence').scenarios[0]) }}"
    text, _ = render(asked, tuned)
    assert "'wpl@1e4'" in text and "samples" not in text


def test_suites_are_not_joined_where_one_name_is_of_several_kinds(render, runs):
    other = []
    for run in runs:
        if run.suite == "sequence" and run.strategy == "wpl":
            own = {**run.spec.strategy.data, "strategy": "ewc"}
            run = replace(run, spec=Spec({**run.spec.data, "strategy": own}))
        other.append(run)
    with pytest.raises(UserError, match="'wpl' stands for strategies of several kinds"):
        render("{{ suite('paper', 'sequence').runs }}", other)


def test_a_template_that_uses_everything(render, runs, study):
    text, album = render(EVERYTHING, runs)
    paper = study(runs)
    assert "42 runs" not in text and "76 runs, 4 failed, 4 seeds (0 to 3)" in text
    assert f"here {paper.value('k3', 'finetune', 'first_after')}." in text
    assert "Removed." in text and "Paper 63" in text
    assert "100 1e4 1e6 1e4" in text
    names = ["curves", "layers", "strengths", "map", "plane", "growth"]
    assert [plot.name for plot in album.plots] == names
    for place, name in enumerate(names, 1):
        assert f"](page/{name}.svg)" in text
        assert f"**Figure {place}.**" in text
    assert "{{" not in text and "read_off" not in text
    for content in album.files().values():
        root = ElementTree.fromstring(content)
        assert root.get("width") == "600pt"  # 800 pixels
        assert root.get("aria-label")
        assert len(content) < 150_000


def test_the_same_runs_give_the_same_bytes_in_any_order(render, runs):
    """Figures of two templates, and of runs that were stored in another order."""
    first, album = render(EVERYTHING, runs)
    second, other = render(EVERYTHING, runs[::-1])
    assert first == second
    assert album.files() == other.files()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("\n{{ suite('papr').runs }}", 2, "no runs of suite 'papr'; did you mean 'paper'?"),
        ("{{ siute('paper') }}", 1, "'siute' is not known; did you mean 'suite'?"),
        (
            "---\nx: 1\n---\na\n{{ y }}",
            5,
            "'y' is not known; expected one of: folded, holm, intervals, rows, suite, x",
        ),
        ("---\nx: {k1: 1}\n---\n{{ x.k2 }}", 4, "no 'k2' here; expected one of: k1"),
        ("{{ suite('paper').tabel() }}", 1, "no 'tabel' here; did you mean 'table'?"),
        ("{% set s = suite('paper') %}\n\n{{ s.value('k2', 'wpl@1e4', 'lost') }}", 3, "scenario"),
        ("{{ suite('paper').value('k1', 'wlp@1e4', 'lost') }}", 1, "did you mean 'wpl'?"),
        ("{{ suite('paper').value('k1', 'wpl@1e4', 'lots') }}", 1, "did you mean 'lost'?"),
        ("a\n{% if suite('paper') %}", 2, "end of template"),
        ("a\n\n{{ 1 + }}", 3, "unexpected 'end of print statement'"),
        ("{{ suite('paper').value('k1', 'wpl_gradient@1e2', 'plasticity').mean > 3 }}", 1, "'>'"),
        ("---\nx: 1\ny: [\n---\n", 4, "front matter is not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_line(render, runs, text, line, message):
    with pytest.raises(UserError) as error:
        render(text, runs)
    assert f"page.md.j2, line {line}: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\n- 1\n---\n", "names with values"),
        ("---\nsuite: 1\n---\n", "rename it"),
        ("---\nrows: 1\n---\n", "the variable 'rows' hides the function"),
    ],
)
def test_front_matter_must_be_variables(render, runs, text, message):
    with pytest.raises(UserError, match=message):
        render(text, runs)


def test_an_error_of_ours_keeps_its_traceback(render, runs, monkeypatch):
    monkeypatch.setattr("palimpsest.reports.markdown.study.elapsed", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        render("{{ suite('paper').time }}", runs)


def test_a_figure_needs_a_name_of_its_own(render, runs):
    figure = "{{ suite('paper').growth('%s', scenarios=['k1'], variants=['finetune']) }}\n"
    with pytest.raises(UserError, match="line 2: figure name 'a' is taken"):
        render(figure % "a" + figure % "a", runs)
    with pytest.raises(UserError, match="such as 'first-steps'"):
        render(figure % "../a", runs)


@pytest.fixture
def store(tmp_path, runs):
    with Store(tmp_path / "runs.db", create=True) as made:
        for run in runs:
            made.put(run)
    return tmp_path / "runs.db"


def page(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["page", *map(str, arguments)])
    return left.value.code


def test_the_command_writes_the_page_and_its_figures(tmp_path, store, capsys):
    (tmp_path / "page.md.j2").write_text(EVERYTHING)
    output = tmp_path / "docs" / "study.md"
    assert page(tmp_path / "page.md.j2", "--store", store, "--out", output) == 0
    assert capsys.readouterr().out == f"{output}\n"
    written = output.read_text()
    links = [line.split("](")[1][:-1] for line in written.splitlines() if line.startswith("![")]
    assert len(links) == 6
    assert {output.parent / link for link in links} == set((tmp_path / "docs/study").iterdir())
    first = {path: path.read_bytes() for path in (tmp_path / "docs").rglob("*.*")}
    assert page(tmp_path / "page.md.j2", "--store", store, "--out", output) == 0
    assert first == {path: path.read_bytes() for path in (tmp_path / "docs").rglob("*.*")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.j2", "--store", "runs.db", "--out", "a.md"], "missing.j2: cannot be read"),
        (["page.j2", "--store", "none.db", "--out", "a.md"], "none.db"),
        (["page.j2", "--store", "runs.db", "--out", "folder"], "this is a folder"),
        (["page.j2", "--store", "runs.db", "--out", "a"], "such as a.md"),
        (["page.j2", "--store", "runs.db", "--out", "page.j2/a.md"], "cannot be written"),
    ],
)
def test_what_cannot_work_is_said(tmp_path, store, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.j2").write_text("text")
    (tmp_path / "folder").mkdir()
    assert page(*arguments) == 2
    assert message in capsys.readouterr().err


SMALL = """\
{% set s = suite("paper") %}
{{ s.table(["k3"], ["finetune"], ["first_after", "removed"]) }}
{{ s.curves("c", scenarios=["k3"], variants=["finetune"]) }}
"""


def test_no_torch_is_imported(tmp_path, store):
    (tmp_path / "page.md.j2").write_text(SMALL)
    code = (
        "import sys\nfrom palimpsest.benchmark.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as left: assert left.code in (0, None)\n"
        "assert not {'torch', 'torchvision', 'avalanche'} & set(sys.modules)\n"
    )
    output = tmp_path / "a.md"
    command = ["page", tmp_path / "page.md.j2", "--store", store, "--out", output]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)],
        env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert output.exists()


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ suite.__func__.__globals__ }}",
    "{{ suite.__self__._records }}",
    "{{ rows.func.__globals__['Path']('mark').write_text('x') }}",
    "{{ cycler.__init__.__globals__.os.system('touch mark') }}",
    "{{ self._TemplateReference__context }}",
    "{{ '{0.__class__}'.format(5) }}",
    "{{ 9 ** 99999 }}",
    "{{ 'x' * 10 ** 10 }}",
    "{{ range(10 ** 9) | list }}",
    "{% set _ = {}.update(a=1) %}",
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_template_reaches_nothing_but_what_it_is_given(
    render, runs, escape, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="line 2:"):
        render(f"# Page\n{escape}\n", runs)
    assert not (tmp_path / "mark").exists()


def test_a_template_can_fill_its_own_lists(render, runs):
    text, _ = render("{% set own = [] %}{% set _ = own.append(3) %}{{ own[0] ** 2 }}\n", runs)
    assert "9" in text
