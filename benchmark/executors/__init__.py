"""Where jobs are carried out: in worker processes on this machine, or in this process if asked.

``executor.py`` is the protocol that every executor implements; ``carry_out.py`` decides the order
of jobs and the retries, for all executors. ``workers.py`` gives jobs to processes, ``worker.py`` is
one of them as seen from here, ``in_worker.py`` what it does. Another executor, such as for a
cluster, is one more class.
"""
