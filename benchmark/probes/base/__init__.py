"""The base class of probes, and what they share."""
