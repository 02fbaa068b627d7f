"""Colours of strategies: permanent, and never the same for two."""

import pytest
from known_facts import facts_of

from palimpsest.reports.figures.drawing.colors import PALETTE, Identity, colors, identity
from palimpsest.reports.figures.drawing.style import styles
from palimpsest.reports.runs.cells import group
from palimpsest.strategies.registry import STRATEGIES

COLORED = {name: entry.facts.color for name, entry in STRATEGIES.items() if entry.facts.color}


def look(record, *strategies):
    """The colour of each strategy in a report of these, given as kinds and names."""
    runs = [record([[0.5]], kind=kind, strategy=name) for kind, name in strategies]
    return {variant.strategy: style.base for variant, style in styles(group(runs)).items()}


def test_every_fixed_colour_is_that_of_one_strategy():
    assert len(set(COLORED.values())) == len(COLORED)
    references = {name for name, entry in STRATEGIES.items() if entry.facts.is_reference}
    assert {color for name, color in COLORED.items() if name not in references} == {*PALETTE}
    assert references < COLORED.keys()


def test_a_reference_of_the_users_own_has_a_colour_and_the_line_of_its_role(record):
    runs = [record([[0.5]], strategy="finetune")]
    runs += [record([[0.5]], strategy="sgd", facts=facts_of("sgd", role="baseline"))]
    (one, look), (other, theirs) = styles(group(runs)).items()
    assert {one.role, other.role} == {"baseline"}
    assert look.color != theirs.color
    assert (look.linestyle, look.marker) == (theirs.linestyle, theirs.marker)


def test_a_colour_does_not_depend_on_what_else_is_in_the_report(record):
    few = look(record, ("ewc", "ewc"), ("wpl", "mine"), ("new", "new"))
    much = [(kind, kind) for kind in (*COLORED, "other", "third")]
    more = look(record, *much, ("wpl", "mine"), ("new", "new"), ("wpl", "another"))
    assert few.items() <= more.items()
    assert few["ewc"] == "#56b4e9"  # as in the published figures
    assert len(set(more.values())) == len(more)


def test_a_hash_of_the_name_that_is_the_same_everywhere():
    assert colors([Identity("a")]) == {Identity("a"): "#872d1e"}  # not Python's


def test_only_those_that_collide_get_another_colour():
    names = [Identity(f"s{i}") for i in range(60)]
    alone = {name: colors([name])[name] for name in names}
    together = colors(names[:14])
    homes = {alone[name] for name in names[:14]}
    kept = [name for name in names[:14] if together[name] == alone[name]]
    assert len(kept) == len(homes) < 14
    assert colors(names[13::-1]) == together
    assert len(set(colors(names).values())) == 60


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("wpl", "wpl", "wpl"),
        ("wpl", "wpl [a.db]", "wpl"),
        ("wpl", "wpl (samples 10)", "wpl"),
        ("wpl", "mine", "wpl: mine"),
        ("wpl", "mine (samples 10)", "wpl: mine"),
        ("wpl", "wpl_gradient", "wpl: wpl_gradient"),
        ("wpl", "like its kind", "wpl"),
        ("finetune", "lower bound", "finetune"),
    ],
)
def test_what_decides_a_colour(kind, name, expected):
    assert identity(facts_of(kind), name, ["like its kind"]).name == expected


def test_settings_of_one_strategy_share_its_colour_until_they_are_many(record):
    few = [("ewc", f"ewc (samples {i})") for i in range(4)]
    assert set(look(record, *few).values()) == {COLORED["ewc"]}
    many = look(record, *few, ("ewc", "ewc (samples 9)"), ("si", "si"))
    assert len(set(many.values())) == 6
