"""Which runs there are, where they come from and which of them belong together."""
