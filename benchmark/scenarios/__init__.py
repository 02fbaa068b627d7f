"""What is learned, in which order: one file per family of scenarios.

Each family is a settings class, checked without torch, whose ``build`` creates the scenario.
"""
