"""The error that a training has diverged; importing this needs no torch."""


class DivergedError(Exception):
    """The loss, a parameter, an output or a variance is no longer a number that it can be."""
