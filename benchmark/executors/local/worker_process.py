"""The start of every worker process: importing this module prepares the process.

A fork server imports it once, so that its forked workers have nothing left to import.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal

from palimpsest.benchmark.runs.failure import NO_MEMORY, lacks_memory

refused = ""
"""Why this process cannot train; forked workers inherit it from the fork server."""


def _prepare() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    if os.environ.get("PYTHONSAFEPATH") == __name__:  # by starting.safe_path
        del os.environ["PYTHONSAFEPATH"]
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"  # read by the imports below; threads would not survive a fork
    logging.captureWarnings(capture=True)  # Avalanche's, several per run
    gc.disable()  # imports make no garbage, and collection takes a sixth of their time
    import torch

    import palimpsest.benchmark.runs.runner  # noqa: F401

    torch.set_num_threads(1)
    gc.freeze()  # collections would write to memory that forked workers share
    atexit.register(gc.unfreeze)  # else libraries report leaks when the fork server ends
    gc.enable()


try:
    _prepare()
except (ImportError, MemoryError, OSError) as error:
    if not lacks_memory(error):
        raise
    refused = f"{NO_MEMORY} ({error})"
