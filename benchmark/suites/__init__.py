"""A YAML file becomes a list of runs."""
