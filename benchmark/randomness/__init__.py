"""All randomness of a run, from its seed."""
