"""Where jobs run: in processes on this machine, or on a cluster.

``options.py`` has the options of all runs, ``target.py`` the machine or cluster that they name,
``choice.py`` the executor for it. ``executor.py`` is the protocol of every executor;
``run_jobs.py`` decides the order of jobs and the retries, for all of them.
"""
