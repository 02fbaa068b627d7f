"""The page in a real browser."""

import csv

import pytest
from at_length import at_length

from palimpsest.benchmark.cli import main

HOSTILE = {
    "script": "<script>alert(1)</script></script><!--",
    "quotes": """ "double" 'single' & `back` \\ {{ 1 + 1 }} \N{LINE SEPARATOR} ü""",
    "long": "many words " * 909 + "!",
    "longer": "x" * 10_000,
}


@pytest.fixture(scope="session")
def report(store, written):
    """Two scenarios with two seeds, and a failed run: 41 runs."""
    return written([r for r in store if r.scenario != "split" and (r.seed < 2 or r.error)])


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """The report of a suite that really ran, by the command line."""
    folder = tmp_path_factory.mktemp("real")
    store, page = str(folder / "runs.db"), folder / "report.html"
    run = ["run", "quick", "--store", store, "--seeds", "2", "--workers", "1", "--quiet"]
    tiny = ["--strategies", "finetune,freeze", "--set", "scenarios.turned_digits.steps=3"]
    for command in ([*run, *tiny], ["report", store, "-o", str(page)]):
        with pytest.raises(SystemExit) as left:
            main(command)
        assert left.value.code == 0
    return page


def rows(page):
    return [row.locator("td").all_inner_texts() for row in page.locator("#runs-table tr").all()][1:]


def column(page, name):
    names = page.locator("#runs-table th").evaluate_all("all => all.map(e => e.dataset.column)")
    found = [row[names.index(name)] for row in rows(page) if len(row) == len(names)]
    assert found
    return found


def says(page):
    return page.locator("#runs-table [role=status]").inner_text()


@pytest.mark.thorough
def test_a_real_suite(visit, real):
    page = visit(real)
    assert page.get_by_role("heading", level=1).inner_text() == "Palimpsest report: quick"
    assert says(page) == "4 runs, 0 failed; rows 1 to 4 are shown."

    page.locator("#runs-table").get_by_role("button", name="stability").click()
    found = column(page, "stability")
    assert found == sorted(found, key=float)
    page.get_by_label("Strategy", exact=True).select_option("freeze")
    assert column(page, "strategy") == ["freeze", "freeze"]
    assert says(page) == "2 of 4 runs, 0 failed; rows 1 to 2 are shown."

    links = page.locator("a[href^='#']:visible")
    assert links.count() > 12
    for link in links.all():
        target = link.get_attribute("href")
        link.focus()
        page.keyboard.press("Enter")
        page.wait_for_function("target => location.hash.split('?')[0] === target", arg=target)
        assert page.locator(target).count() == 1
        assert page.locator(target).bounding_box()["y"] < page.viewport_size["height"]


@pytest.mark.parametrize(
    "kind",
    at_length(HOSTILE, {*HOSTILE} - {"script"}),
)
def test_hostile_words_show_as_text(visit, written, record, kind):
    words = HOSTILE[kind]
    names = {"scenario": words, "strategy": words, "suite": words}
    page = visit(
        written(
            [
                record([[0.9, 0.1], [0.5, 0.8]], kind="wpl", strength=10.0, **names),
                record(kind="wpl", strength=10.0, seed=1, error=words, **names),
            ]
        )
    )
    shown = " ".join(words.split())
    found = " ".join(page.locator("main").inner_text().split())
    assert shown in found
    for place in (
        "h1",
        "#compared h3 >> nth=0",
        "#failures ~ .failure pre",
        "#runs-table .message",
    ):
        assert shown in " ".join(page.locator(place).inner_text().split())
    page.get_by_label("Status", exact=True).select_option("failed")
    assert len(rows(page)) == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.documentElement.scrollHeight") < 16_000
    with page.expect_download() as download:
        page.get_by_role("button", name="All runs").click()
    kept = list(csv.DictReader(download.value.path().open(encoding="utf-8", newline="")))
    assert [row["error"] for row in kept] == ["", words]
    assert {row["strategy"] for row in kept} == {words}


@pytest.mark.thorough
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_no_serious_fault(visit, report, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(report, color_scheme=scheme, viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in {"serious", "critical"}]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"]][:3]) for v in serious] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_sorting(visit, report):
    page = visit(report)
    heading = page.locator("th[data-column=forgetting]")
    assert heading.get_attribute("aria-sort") is None
    heading.get_by_role("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    found = [float(text.replace("−", "-")) for text in column(page, "forgetting")]
    assert found == sorted(found)
    heading.get_by_role("button").press("Space")
    assert heading.get_attribute("aria-sort") == "descending"
    found = [float(text.replace("−", "-")) for text in column(page, "forgetting") if text != "–"]
    assert found == sorted(found, reverse=True)
    assert column(page, "forgetting")[0] != "–"
    page.get_by_role("button", name="Next").click()
    assert column(page, "forgetting")[-1] == "–"
    page.locator("th[data-column=strategy] button").click()
    assert page.locator("[aria-sort]").count() == 1
    found = column(page, "strategy")
    assert found == sorted(found)


def test_search_and_filters(visit, report):
    page = visit(report)
    assert says(page) == "41 runs, 1 failed; rows 1 to 25 are shown."
    page.get_by_role("searchbox").fill("nan ROTATED")
    assert says(page) == "1 of 41 runs, 1 failed; rows 1 to 1 are shown."
    assert "loss became NaN at step 12" in rows(page)[0]
    page.get_by_role("searchbox").fill("nothing has this")
    assert says(page) == "0 of 41 runs, 0 failed."
    assert rows(page) == []
    page.get_by_role("button", name="Show all").click()
    page.get_by_text("41 runs, 1 failed").wait_for()
    page.get_by_label("Strategy", exact=True).select_option("ewc")
    page.get_by_label("Scenario", exact=True).select_option(label="same data")
    assert column(page, "strategy") == ["ewc"] * 6
    assert column(page, "strength") == ["100", "100", "1e4", "1e4", "1e6", "1e6"]
    page.get_by_label("Status", exact=True).select_option("failed")
    assert rows(page) == []


@pytest.mark.thorough
def test_paging(visit, report):
    page = visit(report)
    before, after = (page.get_by_role("button", name=name) for name in ("Previous", "Next"))
    assert before.get_attribute("aria-disabled") == "true"
    first = rows(page)
    assert len(first) == 25
    after.press("Enter")
    assert says(page) == "41 runs, 1 failed; rows 26 to 41 are shown."
    assert after.evaluate("e => e === document.activeElement")
    after.press("Enter")
    assert len(rows(page)) == 16
    before.click()
    assert rows(page) == first


def test_the_keyboard_comes_first_to_the_skip_link(visit, report):
    page = visit(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#answer"


def test_the_data_of_figures_and_tables(visit, report):
    page = visit(report)
    links = page.locator("a[data-packed]", has_text="CSV")
    tables = page.locator(".scroll:not(details .scroll, :has(.matrix))").count()
    curves = page.locator("[data-curves-csv]").count()  # buttons, and so have the runs
    assert links.count() == page.locator("figure").count() - curves + tables - 1
    page.get_by_label("Scenario", exact=True).select_option(label="rotated")
    kept = {}
    # A few: Chromium lets no page save more than ten files at once.
    for name in (
        "ranking-rotated-stability",
        "scenario-rotated-metrics",
        "scenario-rotated-sweep",
    ):
        with page.expect_download() as download:
            page.locator(f"a[download='{name}.csv.gz']").click()
        text = download.value.path().read_text(encoding="utf-8")
        kept[download.value.suggested_filename] = list(csv.DictReader(text.splitlines()))
    means = {
        (row["variant"], row["metric"]): row["mean"] for row in kept["scenario-rotated-metrics.csv"]
    }
    assert 0.8 < float(means["independent", "stability"]) < 1
    sweep = kept["scenario-rotated-sweep.csv"]
    assert {row["strategy"] for row in sweep} == {"ewc", "wpl"}
    ends = [[float(row[name]) for name in ("low", "mean", "high")] for row in sweep if row["low"]]
    assert ends == [sorted(three) for three in ends]


@pytest.mark.thorough
def test_paper_gets_every_run(visit, report):
    page = visit(report)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert len(rows(page)) == 41
    assert not page.get_by_role("searchbox").is_visible()
    assert page.locator("dl.definitions dd").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert len(rows(page)) == 25
    assert len(page.pdf()) > 10_000


def test_nothing_can_leave_the_page(browser, report):
    page = browser.new_page()
    answered = []
    page.on("response", lambda response: answered.append(response.url))
    page.on("requestfinished", lambda request: answered.append(request.url))
    page.goto(report.as_uri())
    answered.clear()
    refused = page.evaluate(
        """async () => {
          const refused = [];
          const keep = (event) => refused.push(event.effectiveDirective);
          addEventListener("securitypolicyviolation", keep);
          new Image().src = "http://127.0.0.1:9/";
          const script = document.createElement("script");
          script.textContent = "document.title = 'changed'";
          document.body.append(script);
          await fetch("http://127.0.0.1:9/").catch(() => null);
          await new Promise((done) => setTimeout(done, 100));
          return refused;
        }"""
    )
    assert sorted(refused) == ["connect-src", "img-src", "script-src-elem"]
    assert answered == []
    assert page.title() == "Palimpsest report: paper"
    page.close()


def test_without_scripts(visit, report):
    page = visit(report, java_script_enabled=False)
    assert page.locator("noscript p").is_visible()
    assert not page.get_by_role("searchbox").is_visible()
    assert page.locator("figure svg").first.is_visible()
    with page.expect_download() as download:
        page.locator("a[data-packed]").first.click()
    assert download.value.suggested_filename == "verdicts-rotated.csv.gz"
