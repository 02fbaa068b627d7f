"""Checkpoints, from which a run is resumed after its process was killed.

``paths.py`` has the files and the settings of checkpoints (without torch). ``graph.py`` finds the
objects of a run's state, ``plain.py`` and ``encoding.py`` turn them into JSON and tensors, and
``decoding.py`` restores them. ``state.py`` is the state of a training, ``storage.py`` reads and
writes files, and ``training.py`` saves and resumes a training.

A run is built again from its seed. Then its state is overwritten with everything that the training
had changed. A checkpoint within a training needs the checkpoint before that training: the training
begins again there, and then its state is moved to the step. So the hooks of strategies for the
beginning of a training take effect exactly once.
"""
