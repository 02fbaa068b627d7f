"""Finished runs in Python."""
