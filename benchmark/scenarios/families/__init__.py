"""One file a family of scenarios."""
