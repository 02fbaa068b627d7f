"""Data sets as tensors in memory: images and text.

``sets/`` has a file for each data set with a name, ``catalog.py`` finds and checks data sets
without importing torch, ``formats/`` reads them: ``images.py`` a data set, ``text.py`` a text.
With ``shared_data.py`` processes hold the same data once.
"""
