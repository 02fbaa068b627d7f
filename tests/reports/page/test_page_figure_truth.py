"""Every figure of a page shows what it claims: all of it, inside its axes, and legibly."""

from pathlib import PurePosixPath

import pytest
from figure_checks import check, laid_out
from rich_store import LONG, PULLED

from reports.cells import group
from reports.page.album import Album
from reports.page.illustrated import IllustratedStudy
from reports.page.variants import Catalog

SIX = ["finetune", "ewc@1", "wpl@1", "wpl@1e3", "freeze", "independent"]
STRENGTHS = (0.0, 0.5, 1.0, 10.0, 1e2, 1e3, 1e4, 1e8)


@pytest.fixture(scope="module")
def album(rich):
    kinds = [record.spec["strategy"]["strategy"] for record in rich]
    album = Album(PurePosixPath("figures"))
    paper = IllustratedStudy(rich, Catalog.of("paper", group(rich)), kinds, album)
    read_off = {"model": 1, "variant": "wpl@1", "steps": [0, 400], "accuracy": [9, 100]}
    paper.curves("curves", scenarios=["two", "one seed"], variants=[*SIX, "wpl@chosen"], first=10,
                 reference={"two": {"their": read_off}})  # fmt: skip
    five = ["two", "one seed", "steady", "two", "one seed"]
    paper.curves("narrow", scenarios=five, variants=["finetune", "ewc@1", "wpl@1"],
                 labels={"two": LONG, "one seed": f"{LONG} too", "wpl@1": LONG})  # fmt: skip
    places = {"two": 1, "one seed": 2, "steady": 40}
    four = ["first_after", "lost", "removed", "seconds_per_step"]
    lines = {"scenarios": places, "variants": ["finetune", "ewc@1", "wpl@1", "ewc@1e6"]}
    given = {"first_after": {"wpl@1": {1: 100, 2: 0, 45: 3}}}
    paper.lines("lines", **lines, quantities=four, axis="layers", reference=given)
    paper.lines("ranges", **lines, quantities=["backward_transfer", "forgetting", "plasticity"])
    series = {"all": {s: f"wpl@{s}" for s in STRENGTHS}, LONG: {1: "ewc@1", 1e3: "ewc@1e3"}}
    series |= {f"line {place}": {1: "ewc@1", 1e6: "ewc@1e6"} for place in range(10)}
    paper.lines("series", scenario="five", series=series, variants=["finetune", "freeze"],
                axis="strength")  # fmt: skip
    rows, columns = [LONG, "b"], [*"defghij", f"{LONG}?"]
    paper.map("map", rows, columns[:2], lambda row, column: "two" if row == "b" else "steady",
              "finetune")  # fmt: skip
    paper.map("wide", rows, columns, lambda row, column: "two", "finetune")
    names = ["two", "three", "one seed", "steady", "two"]
    paper.frontier("frontier", scenarios=names[:1], strategies=["ewc", "wpl", "si"])
    paper.frontier("lost", scenarios=["three"], strategies=["ewc", "wpl", PULLED])
    paper.growth("growth", scenarios=["five", "twenty"], variants=["finetune", "freeze", "joint"],
                 labels={"five": LONG})  # fmt: skip
    paper.growth("equal", scenarios=["two"], variants=SIX)
    return album


@pytest.fixture(scope="module")
def figures(album):
    return {plot.name: (plot, laid_out(plot)) for plot in album.plots}


def test_all(figures):
    for name, (plot, figure) in figures.items():
        for p in dict.fromkeys(check(figure)):
            print(name, p[:230])
    print(len(figures))
    assert 0
