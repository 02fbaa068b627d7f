# Part of the distribution palimpsest-bench.
"""From a store to tables, figures and one HTML file. Never imports torch or Avalanche."""
