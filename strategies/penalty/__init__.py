"""Quadratic penalties on shared parameters."""
