"""Checkpoints of long runs: what a run would need to go on after its process was killed.

``place.py`` says where they are kept and when they are due (it needs no torch); ``graph.py`` what
the state of a run consists of; ``encoding.py`` turns it into plain data and tensors, and
``decoding.py`` writes it over a run that was built anew; ``storage.py`` keeps it in files;
``training.py`` saves and resumes a training.

A run is built anew from its seed, and then everything that its training has changed is written over
it. A checkpoint in the middle of a training needs the one at its beginning: the training begins
again from there, as it began before, and is then moved to the step. So whatever strategies do when
a training begins has the effect that it had, once.
"""
