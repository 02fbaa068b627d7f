"""Which runs are left, carrying them out, and how long that takes."""
