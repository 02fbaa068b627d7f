"""Weights that are distributions."""
