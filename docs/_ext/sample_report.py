"""A sample of the report, from published runs, beside the pages of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from palimpsest.benchmark.store.archive import read_runs
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.reports.html.report import write_report

ROOT = Path(__file__).parents[2]
RUNS = Path("docs", "reproduction", "runs.parquet")
SUITE = Path("configs", "paper", "strength.yaml")


def write_sample(app: Any, exception: Exception | None) -> None:
    """Write ``sample-report.html`` when the pages have been written."""
    if exception is not None or app.builder.format != "html":
        return
    note = load_suite(str(ROOT / SUITE)).note
    write_report(
        [record for record in read_runs(ROOT / RUNS) if record.suite == note.name],
        Path(app.outdir, "sample-report.html"),
        sources=[str(RUNS)],
        command=f"palimpsest report {RUNS} -o report.html",
        suites=[note],
    )


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this when it loads the extension."""
    app.connect("build-finished", write_sample)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
