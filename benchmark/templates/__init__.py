"""What ``palimpsest new`` writes: working files, in which the names are replaced."""
