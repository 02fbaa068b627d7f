"""Reads data sets, one file a format."""
