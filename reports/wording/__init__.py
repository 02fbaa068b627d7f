"""How numbers, counts and lists are written."""
