"""Data sets as tensors in memory: images and text.

``sets`` has a file for each data set with a name, ``catalog`` the root folder and what must be on
disk, without importing torch;
``images`` loads a data set, ``text`` a text; ``splits`` and ``transforms`` derive data from them;
``sharing`` lets processes hold the same data once.
"""
