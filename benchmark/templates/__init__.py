"""What ``palimpsest new`` writes: files that work as they are, with their names to be replaced."""
