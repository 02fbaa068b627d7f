"""Which value of a dial is compared."""
