"""The first model of a scenario, trained once for several runs.

Nothing is protected while the first model trains. So strategies that only look at the end of that
training (fine-tuning, freezing, EWC, WPL, ...) all train the same first model on the same batches.
After one run has trained it, other runs with the same seed and first scenario settings reuse it.
Their results stay bit-identical. The state of random generators is not shared, since they are
seeded again for every model (see ``InMemoryTraining``).

If a training changes something that cannot be shared, each run trains its own first model.

``storage.py`` has the first model, its file and the runs that may share it; ``reuse.py`` trains and
saves it, or loads it. Two facts are declared elsewhere: a strategy's facts say whether it only
looks at the end (``ends_only``), and a scenario family names the settings that affect only later
models (``later_models_only``).
"""
