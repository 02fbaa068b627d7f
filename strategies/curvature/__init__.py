"""Fisher information and its kin: exact, sampled, factored."""
