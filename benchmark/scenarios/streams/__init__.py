"""The samples of experiences."""
