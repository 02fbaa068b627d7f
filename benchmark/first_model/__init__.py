"""The first model of a scenario, trained once for all runs that train it alike.

Nothing is protected while the first model trains. So strategies that only look at the end of that
training (fine-tuning, freezing, EWC, WPL, ...) all train the same first model on the same batches.
Where one run has trained it, the others of the same seed whose scenario trains it alike take it
over; their results stay bit-identical. What a network draws at random in training needs no
handing over: the generators are seeded anew for every model (see ``InMemoryTraining``).

Where something cannot be handed over, each run trains its own.

``model.py`` is what is handed over, ``storage.py`` where it is kept and for whom, ``keeper.py``
what saves it, ``takeover.py`` how a run trains or takes it over, ``order.py`` the order of runs
that makes use of it. What is said elsewhere: a strategy's registry entry says whether it only looks
at the end (``ends_only``), a scenario family which of its settings only later models have
(``later_models_only``).
"""
