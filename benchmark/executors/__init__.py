"""Where jobs are carried out: in this process, or in worker processes on this machine.

``executor.py`` is the protocol that every executor implements; ``carry_out.py`` decides the order
of jobs and the retries, for all executors. Another executor, such as for a cluster, is one more
class.
"""
