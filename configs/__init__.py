# Part of the distribution palimpsest-bench.
"""The suites that come with Palimpsest: one YAML file each, run by name."""
