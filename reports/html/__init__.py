"""The report: one HTML file whose headings are a reader's questions."""
