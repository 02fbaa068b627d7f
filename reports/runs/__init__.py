"""The runs of a report: where they come from and which of them belong together."""
