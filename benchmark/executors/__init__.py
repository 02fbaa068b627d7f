"""Where jobs are carried out: in this process, or in worker processes on this machine.

``executor.py`` is the protocol that every executor implements, ``carry_out.py`` the order of jobs
and what is tried again, whatever carries them out. Another executor (a cluster's) is one class
more.
"""
