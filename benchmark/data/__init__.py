"""Image data sets as tensors in memory.

``catalog`` knows the names, the root folder and what must be on disk, without importing torch;
``images`` loads a data set; ``splits`` and ``transforms`` derive data from it; ``sharing`` lets
processes hold the same data once.
"""
