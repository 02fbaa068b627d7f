"""Plans the missing runs of suites, executes them, and estimates the remaining time."""
