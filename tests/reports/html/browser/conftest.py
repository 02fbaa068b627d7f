"""A real browser, and pages that must neither complain nor ask for anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from palimpsest.benchmark.store.store import Record
from palimpsest.reports.html.report import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome")


def _missing(what: str) -> Any:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and these tests are never skipped in CI")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, as the system has it; nothing is downloaded."""
    path = next(filter(None, map(shutil.which, NAMES)), None) or _missing("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page; when the test ends, no page may have complained or reached outside."""
    contexts, complaints = [], []

    def opened(path: Path, at: str = "", **settings: Any) -> Any:
        context = browser.new_context(**settings)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append("dialog"), dialog.dismiss()))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto(path.as_uri() + at)
        complaints.remove(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [text for text in complaints if not text.startswith(("blob:", "data:"))] == []


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Record]], Path]:
    """Write the report of some runs and return its path."""

    def write(records: list[Record]) -> Path:
        path = tmp_path_factory.mktemp("page") / "report.html"
        write_report(records, path, sources=["store.db"], command="palimpsest report store.db")
        return path

    return write
