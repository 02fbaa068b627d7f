"""Figures of written pages, which the report does not have."""
