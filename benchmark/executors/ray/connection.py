"""Connects this process to a Ray cluster, and starts one if there is none."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading

import ray
from ray import exceptions as ray_errors
from ray._private.services import find_bootstrap_address  # Ray has no other way to ask for it

from palimpsest.benchmark.errors import UserError

_ADVICE = "start one with 'ray start --head', or give the address of one (--address HOST:PORT)"


def connect(address: str) -> bool:
    """Connect to a cluster, and return whether that was necessary.

    Raises:
        UserError: It cannot be reached.
    """
    if ray.is_initialized():
        return False
    address = _found(address)
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        more = {"include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **more)
    except (OSError, RuntimeError, ValueError, ray_errors.RayError) as error:
        raise UserError(f"Ray cluster {address}: {first_line(error)}; {_ADVICE}") from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)  # Ray would end the process
    return True


def _found(address: str) -> str:
    """Return the address of a cluster; ``local`` if one has to be started.

    Raises:
        UserError: Nothing answers there. (Ray itself would try for two minutes.)
    """
    if address == "auto":
        found = os.environ.get("RAY_ADDRESS")
        if found is None:
            found = find_bootstrap_address(None)  # of the last one, which may have ended
            return found if found and _listens(found) else "local"
        address = found
    if "://" in address:
        raise UserError(
            f"Ray cluster {address}: run this command on a node of the cluster, and give the "
            "address as HOST:PORT or auto"
        )
    if address in ("auto", "local"):
        return address
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        raise UserError(f"Ray cluster {address}: expected auto or HOST:PORT")
    try:
        _call(address)
    except (OSError, OverflowError) as error:
        raise UserError(f"Ray cluster {address}: nobody answers there ({error})") from error
    return address


def _listens(address: str) -> bool:
    try:
        _call(address)
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _call(address: str) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=5).close()


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
