"""The report while a suite runs: what a reader sees between two answers of the server."""

import threading

import pytest

from palimpsest.benchmark.cli.watch_server import WatchServer
from palimpsest.reports.html.report import report_page
from palimpsest.reports.html.watching import Live, waiting_page

CURVES = [
    {"model": 0, "steps": [0, 100, 200], "accuracy": [[0.1, 0.8, 0.9]]},
    {"model": 1, "steps": [0, 100], "accuracy": [[0.9, 0.6], [0.1, None]]},
]
JOB = {
    "key": "k",
    "label": "digits, wpl, strength 10, seed 2",
    "color": "#0173b2",
    "runs": 1,
    "fraction": 0.75,
    "since": "12 s",
    "curves": CURVES,
}
PROCESS = {
    "id": "p",
    "state": "running",
    "done": 4,
    "total": 8,
    "left": "3 min 20 s",
    "ago": "1 s",
    "where": "process 7 on host",
    "jobs": [JOB],
}
FAILURE = {
    "key": "f",
    "label": "digits, si, seed 1",
    "kind": "diverged",
    "message": "DivergedError: the loss became NaN",
}


@pytest.fixture(scope="session")
def documents(store):
    """The page before the first report, and reports of 4 and of 6 runs."""
    runs = [r for r in store if r.scenario == "same data" and r.strategy in ("finetune", "freeze")]
    reports = [
        report_page(
            [r for r in runs if r.seed < seeds],
            sources=["runs.db"],
            command="palimpsest report runs.db",
            suites=(),
            live=Live(version, 2 * seeds, "runs.db"),
        )[0]
        for version, seeds in ((1, 2), (2, 3))
    ]
    return [waiting_page("runs.db"), *reports]


class Suite:
    """What the server tells; tests change it."""

    def __init__(self, documents):
        self.documents = documents
        self.version = 0
        self.asked = 0
        self.told = {"problem": "", "runs": 4, "processes": [PROCESS], "failures": []}

    def page(self):
        return self.documents[self.version]

    def news(self):
        self.asked += 1
        runs = {0: 0, 1: 4, 2: 6}[self.version]
        return self.told | {"report": {"version": self.version, "runs": runs}}


@pytest.fixture
def suite(documents):
    return Suite(documents)


@pytest.fixture
def watch(browser, suite):
    """Open the page; when the test ends, it may not have complained."""
    contexts, complaints = [], []
    server = WatchServer(0, "token", suite.page, suite.news)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def opened(at="", version=0, **settings):
        suite.version = version
        context = browser.new_context(**settings)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server.url + at)
        page.get_by_text("of 8 runs have ended").first.wait_for()
        return page

    opened.complaints = complaints
    yield opened
    for context in contexts:
        context.close()
    server.shutdown()
    server.server_close()
    assert complaints == []


def ask(page):
    """Ask now, and not only when it is time: as a tab does that is looked at again."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def said(page):
    return page.locator("#watch-said").text_content()


def test_from_the_first_run_to_the_end(watch, suite):
    page = watch()
    section = page.locator("#under-way")
    assert "4 of 8 runs have ended, about 3 min 20 s left." in section.inner_text()
    assert section.locator("progress").evaluate("e => e.value / e.max") == pytest.approx(4.75 / 8)
    assert "75 % done after 12 s; model 1 at 60 %, model 2 at unknown" in section.inner_text()
    lines = section.locator("svg path[stroke='#0173b2']")
    assert lines.count() == 3
    assert lines.evaluate_all("all => all.map(e => e.getAttribute('stroke-width'))") == [
        "2.2", "1.3", "2.2",
    ]  # fmt: skip
    assert said(page) == ""

    suite.version = 1
    ask(page)
    page.get_by_role("heading", name="Palimpsest report: paper").wait_for()  # by itself
    page.get_by_text("4 of 8 runs have ended").wait_for()

    suite.told |= {"failures": [FAILURE]}
    ask(page)
    page.get_by_text("the loss became NaN").wait_for()
    assert said(page) == "Failed: digits, si, seed 1."
    suite.told |= {"processes": [PROCESS | {"done": 7, "jobs": []}]}
    ask(page)
    page.get_by_text("7 of 8 runs have ended").wait_for()
    assert section.locator(".jobs li").count() == 0
    suite.told |= {"processes": [], "runs": 8}
    ask(page)
    page.get_by_text("All runs have ended. The store has 8 runs.").wait_for()
    assert said(page) == "All runs have ended."


@pytest.mark.thorough
def test_a_reader_is_left_alone_until_they_ask(watch, suite):
    page = watch("#ranking", version=1)
    page.locator("#ranking-question").click()
    page.mouse.wheel(0, 150)
    page.wait_for_timeout(200)
    page.evaluate("document.body.dataset.same = 'yes'")
    top = page.locator("#ranking-question").bounding_box()["y"]
    suite.version = 2
    suite.told |= {"processes": [PROCESS | {"jobs": [JOB, JOB | {"key": "l"}]}]}
    ask(page)
    button = page.get_by_role("button", name="2 new runs: show")
    button.wait_for()
    assert said(page) == "There are new results to show."
    assert page.locator("body[data-same]").count() == 1
    assert "4 runs: 2 strategies" in page.locator("header").inner_text()
    button.click()
    page.get_by_text("6 runs: 2 strategies").wait_for(state="attached")
    assert page.evaluate("location.hash") == "#ranking"
    page.wait_for_timeout(300)
    assert page.locator("#ranking-question").bounding_box()["y"] == pytest.approx(top, abs=3)
    assert not button.is_visible()
    assert page.evaluate("document.activeElement.id") == "under-way-heading"


@pytest.mark.thorough
def test_a_page_that_nobody_touches_renews_itself(watch, suite):
    page = watch(version=1)
    suite.version = 2
    ask(page)
    page.get_by_text("6 runs: 2 strategies").wait_for()


@pytest.mark.thorough
def test_a_hidden_page_asks_nothing(watch, suite):
    page = watch(version=1)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    ask(page)
    asked = suite.asked
    page.wait_for_timeout(2_600)
    assert suite.asked <= asked + 1  # one may have been on its way
    page.evaluate("delete document.hidden")
    ask(page)
    page.wait_for_timeout(200)
    assert suite.asked > asked


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("stopped", "Stopped: nothing was heard of process 7 on host for 1 s. 4 of 8 runs have"),
        (
            "interrupted",
            "Interrupted 1 s ago: 4 of 8 runs have ended; the same 'palimpsest run' command",
        ),
    ],
)
def test_a_suite_that_goes_on_no_more_says_how_to_go_on(watch, suite, state, words):
    page = watch()
    suite.told |= {"processes": [PROCESS | {"state": state, "jobs": [], "left": ""}]}
    ask(page)
    page.get_by_text(words).wait_for()
    assert said(page) == "The suite has stopped."


@pytest.mark.thorough
def test_a_server_that_has_gone_is_told(watch):
    page = watch()
    page.route("**/news", lambda route: route.abort())
    for _ in range(3):
        ask(page)
        page.wait_for_timeout(100)
    page.get_by_text(
        "The server has gone: 'palimpsest watch runs.db' starts it again"
    ).first.wait_for()
    assert {text.split(":")[0] for text in watch.complaints} == {"Failed to load resource"}
    watch.complaints.clear()


@pytest.mark.parametrize(
    ("scheme", "width", "version"),
    [
        ("light", 1400, 1),
        pytest.param("dark", 400, 1, marks=pytest.mark.thorough),
        pytest.param("dark", 400, 0, marks=pytest.mark.thorough),
    ],
)
def test_axe_finds_nothing(watch, suite, scheme, width, version):
    from axe_playwright_python.sync_playwright import Axe

    stopped = PROCESS | {"id": "q", "state": "stopped", "jobs": []}
    long = JOB | {"key": "l", "label": "many words " * 50 + "x" * 500, "curves": []}
    suite.told |= {
        "processes": [PROCESS | {"jobs": [JOB, long]}, stopped],
        "failures": [FAILURE | {"message": "y" * 3000}],
        "problem": "runs.db: the store is damaged",
    }
    page = watch(version=version, color_scheme=scheme, viewport={"width": width, "height": 800})
    found = Axe().run(page, context="#under-way").response["violations"]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"]][:3]) for v in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
