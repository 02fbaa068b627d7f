"""Remarks on the numbers: caveats, breakdowns, unstable training, findings."""
