"""The settings that families share."""
