"""Masks on updates, on rows and on weights."""
