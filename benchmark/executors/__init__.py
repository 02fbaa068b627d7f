"""Where jobs are carried out: in processes on this machine, or on a cluster.

``executor.py`` is the protocol that every executor implements; ``run_jobs.py`` decides the order
of jobs and the retries, for all executors; ``choice.py`` makes the one that is asked for.
``workers.py`` gives jobs to processes, ``worker.py`` is one of them as seen from here,
``in_worker.py`` what it does. ``ray_cluster.py`` gives them to Ray, and ``ray_task.py`` is what
happens there; ``slurm_arrays.py`` and ``slurm_task.py`` are the same for Slurm.
"""
