"""Finished runs in a file."""
