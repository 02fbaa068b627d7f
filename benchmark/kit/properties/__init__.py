"""What must hold for every strategy, a few properties that belong together in a file."""
