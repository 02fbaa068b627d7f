"""Scenarios: the models, their data, and the order in which they learn.

Each family is one file of ``families/``: a class of settings, checked without torch, whose
``build`` creates the scenario.
"""
