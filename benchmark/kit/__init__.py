"""The kit: does a strategy do what it claims?

Each property is checked by training tiny models for a few steps; together they take seconds.
``palimpsest check NAME`` runs all of them, and ``palimpsest.benchmark.kit.testing`` has them as a
class for pytest. Each was found broken in code that is widely used.

* ``candidate.py``: what is checked, and how to build it;
* ``models.py``: the tiny models and their data; ``program.py``: their trainings;
* ``properties/``: what must hold, related properties in one file;
* ``check.py``: all of them, one verdict each.
"""
