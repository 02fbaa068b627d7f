"""How fast the harness is, beside a hand-written loop and stock Avalanche, in one process."""
