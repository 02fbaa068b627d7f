"""The suites that come with Palimpsest: one YAML file each, run by name."""
