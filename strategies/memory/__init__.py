"""Stored samples."""
