"""The kit: does a strategy do what it claims?

Each property is checked by training tiny models for a few steps; together they take seconds.
``palimpsest check NAME`` runs all of them, and ``palimpsest.benchmark.kit.testing`` has them as a
class for pytest. Each was found broken in code that is widely used.
"""
