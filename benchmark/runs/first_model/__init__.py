"""The first model of a scenario, trained once for all runs that train it alike.

Nothing is protected while the first model trains. So strategies that only look at the end of that
training (fine-tuning, freezing, EWC, WPL, ...) all train the same first model on the same batches.
Once one run has trained it, the others with the same seed whose scenario trains it alike take it
over; their results stay bit-identical. The state of random generators need not be handed over: they
are seeded again for every model (see ``InMemoryTraining``).

If something cannot be handed over, each run trains its own first model.

``model.py`` is what is handed over, ``storage.py`` where it is kept and for which runs,
``saver.py`` what saves it, ``reuse.py`` how a run trains it or takes it over, ``order.py`` the
order of runs that makes use of it. Two facts are declared elsewhere: a strategy's facts say
whether it only looks at the end (``ends_only``), and a scenario family which of its settings
concern only later models (``later_models_only``).
"""
