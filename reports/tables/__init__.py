"""Tables with everything that belongs to them, before they are written."""
