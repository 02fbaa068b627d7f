"""What all settings have: they are chosen by name, checked, and apply or not."""
