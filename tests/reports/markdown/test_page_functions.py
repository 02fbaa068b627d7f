"""What a template can call beside suites: rows of a file, folded text, the count of intervals."""

import pytest
from scipy import stats

from palimpsest.benchmark.errors import UserError

COUNTED = """\
{{ intervals() }} of {{ intervals() }}, some {{ intervals(0.05) }} wrong
{% set s = suite("paper") %}
{% set unseen = s.value("k3", "wpl@1e4", "second") ~ "" %}
{% macro twice(x) %}{{ x }} and {{ x }}{% endmacro %}
{{ twice(s.value("k3", "wpl@1e4", "second")) }}; bare {{ s.value("k3", "finetune", "lost").bare }}
{{ folded("More", s.table(["k3"], ["finetune", "wpl@1e4", "l2@1e4"], ["second", "removed"])) }}
A range that somebody typed: [90.1, 91.3]; {{ s.value("k3", "finetune", "removed") }}.
{{ s.lines("l", scenarios={"k1": 1, "k3": 3}, variants=["finetune"]) }}
"""


def test_intervals_are_those_on_the_finished_page(render, runs):
    text, _ = render(COUNTED, runs)
    # Two of the macro; three of B in the table and two of what is removed (plain removes nothing).
    assert "\n7 of 7, some 0 wrong\n" in text
    one = "{{ suite('paper').value('k3', 'wpl@1e4', 'second') }}\n"
    many, _ = render(one * 1030 + "{{ intervals(1) }} {{ intervals(0.5) }}", runs)
    assert many.endswith("\n1,030 515")
    few, _ = render(COUNTED, [run for run in runs if run.seed < 3])
    assert "\n0 of 0, some 0 wrong\n" in few and "(seeds " in few


def test_no_arithmetic_with_a_count_that_is_not_known_yet(render, runs):
    with pytest.raises(UserError, match="line 1"):
        render("{{ intervals() * 0.05 }}", runs)


def test_p_values_are_corrected_for_their_number(render, runs):
    text, _ = render("{{ holm([0.01, none, 0.04, 0.02]) }}", runs)
    assert text.endswith("[0.03, None, 0.04, 0.04]")  # three tests: 3 and 2 times, and once
    beside = "{{ holm([suite('paper').difference('k3', 'wpl@1e4', 'l2@1e2', 'second').p]) }}"
    difference = [
        one.accuracy_matrix[1][1] - other.accuracy_matrix[1][1]
        for one in runs if (one.scenario, one.strategy, one.strength) == ("k3", "wpl", 1e4)
        for other in runs if (other.scenario, other.strategy, other.strength, other.seed)
        == ("k3", "l2", 1e2, one.seed)
    ]  # fmt: skip
    text, _ = render(beside, runs)
    expected = stats.ttest_1samp(difference, 0).pvalue
    assert float(text.splitlines()[-1].strip("[]")) == pytest.approx(expected)


def test_folded_text_has_blank_lines_around_it(render, runs):
    text, _ = render("a\n{{ folded('More  <b>\n& more', '\n| a |\n| --- |\n') }}\nb\n", runs)
    start = "a\n<details>\n<summary>More &lt;b&gt; &amp; more</summary>\n\n"
    assert text.endswith(start + "| a |\n| --- |\n\n</details>\n\nb\n")


def test_rows_are_parsed(render, runs, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "n.csv").write_bytes(
        '\ufeffname,x,y\r\n"a, b",1,-2.5e3\r\n\r\nnan,,+3\r\n1_0,0.10, 7 \r\n'.encode()
    )
    text, _ = render("{{ rows('data/n.csv') }}", runs)
    rows = [
        {"name": "a, b", "x": 1, "y": -2500.0},
        {"name": "nan", "x": "", "y": 3},
        {"name": "1_0", "x": 0.1, "y": 7},
    ]
    assert text.endswith(str(rows))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "line 2: n.csv: cannot be read .No such file"),
        (b"\xff", "not UTF-8 text"),
        (b"", "does not name every column"),
        (b"a,,b\n", "does not name every column"),
        (b"a,b,a\n", "names 'a' twice"),
        (b"a,b\n1,2\n\n1\n", "n.csv, line 4: 1 cells, but the first line names 2 columns"),
        (b'a,b\n1,"2\n', "cannot be read .unexpected end of data"),
    ],
)
def test_rows_that_cannot_be_read(render, runs, tmp_path, content, message):
    if content is not None:
        (tmp_path / "n.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        render("\n{{ rows('n.csv') }}", runs)
