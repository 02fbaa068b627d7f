"""The report: one HTML file with the questions of a reader as its headings."""
