"""Gradients and their squares for each sample, for any network."""
