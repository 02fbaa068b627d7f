"""The first screen: what a reader sees, chooses and sends to others."""

import re

import pytest
from at_length import at_length


@pytest.fixture(scope="session")
def report(store, written):
    """Three scenarios with four seeds, and a failed run."""
    return written([run for run in store if run.seed < 4])


@pytest.fixture(scope="session")
def single(store, written):
    return written([run for run in store if run.scenario == "same data" and run.seed < 4])


def board(page):
    """The verdict table that is shown: the cells of each row by its strategies."""
    rows = page.locator(".board:visible tr[data-strategies]").all()
    return {
        row.locator("th .clamp").first.inner_text().split(",")[0]: [
            " ".join(text.split()) for text in row.locator("td").all_inner_texts()
        ]
        for row in rows
    }


def scenarios(page):
    return page.get_by_label("Scenario", exact=True)


def baselines(page):
    return page.get_by_label("Baseline", exact=True)


@pytest.mark.parametrize("size", at_length([(1400, 900), (400, 860)], {(400, 860)}))
def test_the_first_screen_has_the_answer(visit, single, size):
    width, height = size
    page = visit(single, viewport={"width": width, "height": height})
    assert page.evaluate("scrollY") == 0
    table = page.locator(".board:visible")
    figure = page.locator("[data-plane]:visible svg >> nth=0")
    boxes = [table.bounding_box(), figure.bounding_box()]
    assert boxes[0]["y"] + boxes[0]["height"] < height
    assert boxes[1]["y"] < height
    if width > 1000:
        assert boxes[1]["y"] + boxes[1]["height"] < height
        assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not scenarios(page).is_visible()  # there is one only
    assert board(page)["finetune"][0] == "baseline"
    verdict, average, difference, *_, n = board(page)["freeze"]
    assert re.fullmatch(r"(▲|▼|\?|=) (better|worse|undetermined|same)", verdict)
    assert re.fullmatch(r"[+−]?\d+\.\d \[[+−]?\d+\.\d, [+−]?\d+\.\d\]", difference)
    assert re.fullmatch(r"\d+\.\d \[\d+\.\d, \d+\.\d\]", average)
    assert n == "4"
    assert [*board(page)][-2:] == ["independent", "joint"]
    assert board(page)["joint"][0] == board(page)["independent"][0] == "a bound"
    assert table.locator("tbody").last.locator("tr").first.inner_text().startswith("references")


@pytest.mark.thorough
@pytest.mark.parametrize("width", [1400, 400])
def test_long_names_and_single_seeds_leave_the_numbers_in_sight(visit, written, record, width):
    names = {"finetune": 0.5, "wpl" + 197 * "x": 0.8, "freeze": 0.9}
    runs = [
        record([[0.9, 0.1], [end + 0.01 * seed, 0.8]], strategy=name, seed=seed)
        for name, end in names.items()
        for seed in (0, 1, 2)
    ]
    failed = record(strategy="z " * 200, error="x")
    page = visit(written([*runs, failed]), viewport={"width": width, "height": 900})
    cells = page.locator(".board tr[data-strategies] >> nth=0").locator("td")
    cell = cells.nth(4 if width > 1000 else 1).bounding_box()  # narrow: the average accuracy
    half = page.locator(".board").locator("..").bounding_box()
    assert cell["x"] + cell["width"] <= half["x"] + half["width"] + 1
    link, lead = page.locator("header .bad"), page.locator("header .lead.clamp").bounding_box()
    assert link.bounding_box()["y"] >= lead["y"] + lead["height"]  # not cut off with the names


def test_no_script_writes_minus_zero(visit, report):
    page = visit(report)
    written = page.evaluate("[-0.04, -0, 0.04, -0.06, -10].map((value) => fixed(value, 1))")
    assert written == ["0.0", "0.0", "0.0", "-0.1", "-10.0"]
    assert page.evaluate("fixed(-0.4, 0)") == "0"


def test_failed_runs_are_red_and_a_link(visit, report):
    page = visit(report)
    link = page.locator("header .bad")
    assert link.inner_text() == "1 run failed"
    assert link.evaluate("e => getComputedStyle(e).color") == "rgb(165, 40, 27)"
    link.click()
    assert page.locator("#failures").bounding_box()["y"] < page.viewport_size["height"]


def test_every_section_follows_the_scenario(visit, report):
    page = visit(report)
    assert scenarios(page).locator("option").all_inner_texts() == [
        "All 3 scenarios together",
        "rotated",
        "same data",
        "split",
    ]
    assert page.locator(".matrix").is_visible()
    whole = page.evaluate("document.documentElement.scrollHeight")
    for name in ("rotated", "split"):
        scenarios(page).select_option(label=name)
        assert not page.locator(".matrix").is_visible()
        for section in ("answer", "compared", "ranking", "protection", "training", "models"):
            titles = page.locator(f"#{section} .group:visible h3").all_inner_texts()
            assert [title for title in titles if title != "Caveats"] == [name], section
        column = page.locator("#runs-table tbody td:first-child")
        assert set(column.all_inner_texts()) == {name}
    assert page.evaluate("document.documentElement.scrollHeight") < 2 * whole


@pytest.mark.thorough
def test_a_baseline_turns_the_differences_round(visit, report):
    page = visit(report)
    scenarios(page).select_option(label="rotated")
    before = board(page)
    baselines(page).select_option("wpl")
    after = board(page)
    assert page.locator(".board:visible [data-baseline]").inner_text() == "wpl"
    assert after["wpl"] == ["baseline", before["wpl"][1], "", "", "", ""]
    assert after["finetune"][1] == before["finetune"][1]
    number = [text.split()[0] for text in (before["wpl"][2], after["finetune"][2])]
    assert number[0] == number[1].translate(str.maketrans("+−", "−+"))
    turned = {"▲ better": "▼ worse", "▼ worse": "▲ better"}
    assert after["finetune"][0] == turned.get(before["wpl"][0], before["wpl"][0])
    scenarios(page).select_option(label="All 3 scenarios together")
    row = page.locator(".matrix tbody tr", has_text="rotated")
    place = page.locator(".matrix thead th").all_inner_texts().index("finetune")
    assert row.locator("th, td").nth(place).inner_text() == number[1]


@pytest.mark.thorough
def test_a_baseline_that_a_scenario_lacks_is_named(visit, written, record):
    matrix = [[0.9, 0.1], [0.5, 0.8]]
    names = [("a", "finetune"), ("a", "freeze"), ("b", "finetune")]
    runs = [record(matrix, scenario=where, strategy=name) for where, name in names]
    page = visit(written(runs), at="#?scenario=b&baseline=freeze")
    told = page.locator(".board:visible [data-baseline]")
    assert told.inner_text() == "freeze, which has no finished runs here"
    baselines(page).select_option("finetune")
    assert told.inner_text() == "finetune"


@pytest.mark.thorough
def test_a_scenario_without_a_finished_run_is_in_the_matrix(visit, written, record):
    runs = [record([[0.9, 0.1], [0.5, 0.8]], scenario=n, seed=s) for n in "ac" for s in (0, 1)]
    runs += [record([[0.9, 0.1], [0.7, 0.8]], scenario="a", strategy="wpl", seed=s) for s in (0, 1)]
    runs += [record(scenario="b", strategy=name, error="broken") for name in ("finetune", "never")]
    page = visit(written(runs))
    rows = page.locator(".matrix tbody tr")
    assert rows.locator("th").all_inner_texts() == ["a", "b", "c"]
    heads = page.locator(".matrix thead th").all_inner_texts()[1:]
    failed = {"finetune": "failed", "wpl": "", "never": "failed"}
    for baseline in ("finetune", "wpl"):
        page.get_by_label("Baseline").select_option(baseline)
        found = rows.nth(1).locator("td").all_inner_texts()
        assert dict(zip(heads, found, strict=True)) == failed
    page.locator(".matrix").get_by_role("link", name="b").click()
    assert page.locator("body").get_by_text("broken").first.is_visible()


@pytest.mark.thorough
def test_a_figure_that_is_drawn_live_is_a_place_in_the_address(visit, single):
    page = visit(single)
    name = page.locator("[data-curves]").get_attribute("data-curves")
    page.evaluate("name => { location.hash = name; }", f"figure-{name}")
    page.wait_for_function("scrollY > 1000")
    assert -100 < page.locator("[data-curves]").bounding_box()["y"] < 300


@pytest.mark.thorough
def test_the_address_shows_what_its_sender_saw(visit, report):
    page = visit(report)
    scenarios(page).select_option(label="same data")
    baselines(page).select_option("joint")
    page.get_by_role("link", name="Ranking", exact=True).click()
    page.wait_for_function("location.hash.includes('?')")
    address = page.evaluate("location.hash")
    seen = board(page)
    assert address.startswith("#ranking?")
    other = visit(report, at=address)
    assert scenarios(other).locator(":checked").inner_text() == "same data"
    assert baselines(other).locator(":checked").inner_text() == "joint"
    assert board(other) == seen
    assert 0 <= other.locator("#ranking").bounding_box()["y"] < 200


@pytest.mark.thorough
def test_an_address_that_was_cut_off_opens_the_report(visit, report):
    page = visit(report, at="#%E4%B8?scenario=rotated")
    assert scenarios(page).locator(":checked").inner_text() == "rotated"
    baselines(page).select_option("joint")
    assert page.locator(".board:visible [data-baseline]").inner_text() == "joint"
    assert page.locator("#runs-table [role=status]").inner_text()


def test_a_scenario_of_the_matrix_is_chosen_by_keyboard(visit, report):
    page = visit(report)
    page.locator(".matrix").get_by_role("link", name="split").press("Enter")
    assert scenarios(page).locator(":checked").inner_text() == "split"
    assert page.locator("[data-plane]:visible").count() == 1


def test_the_matrix_tells_verdicts_by_signs_too(visit, report):
    page = visit(report)
    signs = page.locator(".matrix td[data-verdict]").evaluate_all(
        "all => all.map(e => [e.dataset.verdict, getComputedStyle(e, '::before').content])"
    )
    assert ["better", '"▲ "'] in signs
    assert {sign for verdict, sign in signs if verdict in ("baseline", "undetermined")} <= {"none"}


@pytest.mark.thorough
def test_runs_are_found_by_field(visit, report):
    page = visit(report)
    status, box = page.locator("#runs-table [role=status]"), page.get_by_role("searchbox")

    def count(text):
        box.fill(text)
        return int(re.match(r"\d+", status.inner_text()).group())

    everything = count("")
    assert count("strategy:wpl scenario:split") == 12
    assert count("strength>1e2 strength<=1e4 strategy=ewc") == 12
    assert count("seed:0") + count("seed>0") == everything
    assert count("status:failed") == 1
    assert count("stability>=0") == everything - 1
    assert count("stability>50") + count("stability<=50") == everything - 1
    # As the table shows it, by what the table calls it, and as others write it.
    [shown] = {
        row.locator("td").nth(6).inner_text()
        for row in page.locator("#runs-table tbody tr").all()[:1]
    }
    assert count(f"stability:{shown}") > 0
    assert count("time>0") == count("seconds>0") == everything
    assert count("strength:>1e2") == count("strength>1e2") and count("strength==1e2") == 24
    assert count("strategy!=wpl") + count("strategy=wpl") == everything
    assert count("plasticity<−1") == count("plasticity<-1") > 0
    assert count("nothing>3") == 0
    assert count("seed:x") == 0
    assert count('scenario="same data" strategy:wpl') == count("same wpl") == 12
    assert count('"same data') - count('"same data" strategy!=wpl') == 12
    assert count('"data same"') == 0
