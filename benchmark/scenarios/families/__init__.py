"""The scenario families: one file each, found by ``benchmark/plugins/families.py``."""
