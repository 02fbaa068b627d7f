"""Executors: they run jobs in processes on this machine, or on a cluster.

``options.py`` has the options of all runs, ``target.py`` the machine or cluster that they name.
``executor.py`` is the protocol of all executors, and ``run_jobs.py`` decides the order of jobs and
their retries.
"""
