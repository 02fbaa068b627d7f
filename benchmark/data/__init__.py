"""Data sets as tensors in memory: images and text.

``catalog`` knows the names, the root folder and what must be on disk, without importing torch;
``images`` loads a data set, ``text`` a text; ``splits`` and ``transforms`` derive data from them;
``sharing`` lets processes hold the same data once.
"""
