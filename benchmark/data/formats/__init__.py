"""How data are read from each format."""
