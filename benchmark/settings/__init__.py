"""What all settings have in common: their base class, defaults, checks and texts."""
