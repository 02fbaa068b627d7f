"""Tables as data: columns, rows and captions, before they are written in some format."""
