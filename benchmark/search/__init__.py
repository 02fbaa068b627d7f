"""Architecture search: who draws architectures and batches, and what is measured.

``architecture_search.py`` has the settings of the family, ``plan.py`` the order of its visits,
``parts.py`` makes the scenario and what a run needs. ``plugins.py`` sets the architecture, the
state of recurrent supernets and the learning rate of each visit; ``controller.py`` learns to draw
architectures; ``batches.py`` gives each visit its batches; ``measuring.py`` measures visits, and
ranks architectures at the end.
"""
