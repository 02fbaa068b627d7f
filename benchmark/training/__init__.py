"""The Avalanche template that trains, and what controls it."""
