"""Broken suite files end at once, in a sentence with the line, and in little memory."""

import pytest

from palimpsest.benchmark.data.paths import path_of
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.suites.overrides import Assignment

GOOD = """\
suite: example
seeds: 2
scenarios:
  split:
    data: digits
strategies:
  finetune: {}
  theirs: {strategy: "avalanche:LwF", arguments: {alpha: 1}}
"""

LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{f'*a{i - 1},' * 10}]\n" for i in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{f'*a{i - 1},' * 10}]}}\n" for i in range(1, 12)
)
MANY = "".join(f"k{i}: 1\n" for i in range(60_000))

# What is written for `2`, or before the file; the line; what is said. Each ended in a traceback,
# took over a gigabyte or did not end within ten seconds.
BROKEN = {
    "family as a list": ("data: digits", "family: [split]", 5, "expected the name of a family"),
    "family as a map": ("data: digits", "family: {a: 1}", 5, "expected the name of a family"),
    "strategy as a list": ('"avalanche:LwF"', "[x]", 8, "expected the name of a strategy"),
    "strategy as a map": ('"avalanche:LwF"', "{x: y}", 8, "expected the name of a strategy"),
    "list in itself": ("finetune: {}", "finetune: &a [*a]", 7, "the anchor here refers to itself"),
    "key in itself": ("finetune: {}", "? &a [*a]\n  : 1", 7, "the anchor here refers to itself"),
    "aliases of aliases": ("suite: e", LAUGHS + "suite: e", 5, "too large: over 50,000 keys"),
    "merges of merges": ("suite: e", MERGES + "suite: e", 6, "too large: over 50,000 keys"),
    "deep list": ("alpha: 1", f"alpha: {'[' * 5000}", 8, "nested too deeply: over 50 levels"),
    "deep map": ("alpha: 1", f"alpha: {'{a: ' * 5000}", 8, "nested too deeply: over 50 levels"),
    "many keys": ("suite: e", MANY + "suite: e", None, "too large: over 50,000 keys"),
    "many bytes": ("suite: e", f"# {'x' * 10**7}\nsuite: e", None, "too large: over 1,048,576"),
    "many seeds": ("seeds: 2", "seeds: 1000000000", 2, "seeds are too many"),
    "many listed seeds": ("seeds: 2", f"seeds: {[*range(20_000)]}", 2, "more than 10000 seeds"),
    "long number": ("seeds: 2", f"seeds: {'9' * 5000}", 2, "a number of at most 100 digits"),
    "long hexadecimal": ("alpha: 1", f"alpha: 0x{'f' * 5000}", 8, "a number of at most 100 digits"),
    "sexagesimal": ("alpha: 1", f"alpha: 1{':1' * 90_000}", 8, "a number of at most 100 digits"),
    "not a bool": ("alpha: 1", "alpha: !!bool abc", 8, "'abc' is no bool"),
    "not a time": ("alpha: 1", "alpha: !!timestamp abc", 8, "'abc' is no timestamp"),
    "not a month": ("alpha: 1", "alpha: 2020-99-99", 8, "month must be in 1..12"),
    "half a character": ("suite: example", 'suite: "\\ud800"', 1, "'\\ud800' cannot be stored"),
    "half in a name": ("  finetune:", '  "\\udfff":', 6, "strategies: the name '\\udfff'"),
    "NUL": ("suite: example", 'suite: "a\\0b"', 1, "'\\x00' cannot be stored"),
    "NUL in a name": ("  split:", '  "a\\0b":', 3, "scenarios: the name 'a\\x00b'"),
    "NUL in an argument": ("alpha: 1", 'alpha: "\\0"', 8, "'\\x00' cannot be stored"),
    "long name": ("  finetune:", f"  {'x' * 300}:", 6, "longer than 200 characters; shorten it"),
    "long family": ("data: digits", f"family: {'x' * 5000}", 5, "unknown scenario family 'xxx"),
    "long data": ("data: digits", f"data: {'x' * 5000}", 5, "unknown data set 'xxx"),
    "long optimizer": (
        "data: digits", f"optimizer: {{name: {'x' * 5000}}}", 5, "unknown name 'xxx"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_suite_is_told_in_a_sentence(tmp_path, what):
    old, new, line, message = BROKEN[what]
    assert old in GOOD
    path = tmp_path / "suite.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        load_suite(path)
    told = str(caught.value)
    assert told.startswith(str(path))
    assert message in told
    assert len(told) < 600 and "\n" not in told
    assert line is None or f"line {line}:" in told


def example(**changes):
    return {
        "suite": "example",
        "scenarios": {"split": {"data": "digits"}},
        "strategies": {"finetune": {}},
        **changes,
    }


def endless():
    own = []
    own.append(own)
    return own


FROM_PYTHON = {
    "endless list": (example(scenarios={"split": {"data": endless()}}), "nested too deeply"),
    "long number": (example(seeds=10**5000), "at most 100 digits"),
    "half a character": (example(description="\ud800"), "cannot be stored"),
}


@pytest.mark.parametrize("what", FROM_PYTHON)
def test_a_mapping_has_the_limits_of_a_file(what):
    suite, message = FROM_PYTHON[what]
    with pytest.raises(UserError, match=message):
        load_suite(suite)


def test_endless_seeds_from_a_program_are_refused():
    with pytest.raises(UserError, match="more than 10000 seeds are listed"):
        load_suite(example(), seeds=range(10**12))


SET = {
    "scenarios.split.width=" + "9" * 5000: "not a YAML value: expected a number of at most 100",
    "scenarios.split.width=" + "[" * 5000: "nested too deeply",
    "scenarios.split.width=&a [*a]": "refers to itself",
    "scenarios.split.width=!!bool x": "'x' is no bool",
    "scenarios.split" + ".a" * 100 + "=1": "nested too deeply",
    "strategies.\udcff=1": "no '\\udcff' in strategies",
    'suite="\\ud800"': "cannot be stored",
    "seeds=" + "9" * 50: "seeds are too many",
}


@pytest.mark.parametrize("assignment", SET, ids=SET.values())
def test_what_is_set_has_the_limits_of_a_file(assignment):
    with pytest.raises(UserError) as caught:
        load_suite(example(), settings=[assignment])
    assert SET[assignment] in str(caught.value)
    assert "--set" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("seeds", ["9" * 5000, f"{2**63},", "1,2," * 30_000, "1e3", "\udcff"])
def test_wrong_seeds_are_told_in_a_sentence(seeds):
    with pytest.raises(UserError, match=r"^--seeds") as caught:
        load_suite(example(), seeds=seeds)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "path", ["x" * 5000, "x/" * 3000, "a\0b", "~nobody_of_this_name/x"], ids=lambda path: path[:9]
)
def test_a_path_that_no_file_can_have_is_told(tmp_path, path):
    with pytest.raises(UserError, match="no usable path") as caught:
        path_of(f"folder:{path}", tmp_path)
    assert len(str(caught.value)) < 300


def test_more_runs_than_can_be_planned_are_refused(tmp_path):
    suite = example(scenarios={f"s{i}": {"family": "split"} for i in range(101)})
    with pytest.raises(UserError, match="1,010,000 runs are too many"):
        load_suite(suite, seeds=10_000).runs("cpu", tmp_path)


def test_the_path_of_an_assignment_is_quoted_in_part():
    with pytest.raises(UserError) as caught:
        Assignment.parse(f"scenarios.a={'[' * 100_000}")
    assert len(str(caught.value)) < 600
