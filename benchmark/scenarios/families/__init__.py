"""One file a family of scenarios, found by looking into this folder (``plugins/families.py``)."""
