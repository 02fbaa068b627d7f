"""Cells that a spreadsheet would execute: one rule, written in Python and in the page."""

import csv
import io

from palimpsest.reports.formats.data import csv_lines, harmless

PLAIN = [
    "wpl",
    "a=1",
    "'=1",
    "ö-1",
    "x-y",
    'a "quoted", cell',
    "two\nlines",
    " =1",
    "0x1A",
    "1e",
    "٣",
]
NUMBERS = ["-0.5", "+1e4", "-1.", "+.5", "-1E-7", "1e5"]
FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\tx",
    "\nx",
    "＝1+1",
    "＋1",
    "－1",
    "＠a",
]
FORMULAS += ["-1e", "-.", "+", "-1 ", "--1", "-1\n", "+1,5", '="a"', "-٣", "a\r=1", "\r\n=1"]


def test_the_page_makes_the_same_cells_harmless_as_python(visit, written, record):
    cells = [*PLAIN, *NUMBERS, *FORMULAS]
    assert all(harmless(cell) == cell for cell in (*PLAIN, *NUMBERS))
    runs = [record(seed=seed, error=cell) for seed, cell in enumerate(cells)]
    page = visit(written(runs))
    with page.expect_download() as download:
        page.get_by_role("button", name="All runs").click()
    text = download.value.path().read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    found = {int(row["seed"]): row["error"] for row in rows}
    assert [found[seed] for seed in range(len(cells))] == [harmless(cell) for cell in cells]
    # Quoted alike, too: the last cell of each row is the message.
    ends = {line for line in csv_lines([[cell] for cell in cells]).split("\n") if line}
    assert all(end in text for end in ends)
