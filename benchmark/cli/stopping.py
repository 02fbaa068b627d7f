"""Signals that clusters, containers and closed terminals stop a command with."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """A signal, such as SIGTERM, has stopped the command like an interrupt."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.name = signal.Signals(number).name


_heard: list[Stopped] = []
"""What the present command was stopped by."""


def reason_of(stop: KeyboardInterrupt) -> KeyboardInterrupt:
    """Return the signal behind an interrupt: a C library may have replaced the exception."""
    return _heard[0] if _heard else stop


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise ``Stopped``, once. A signal that is ignored (nohup) stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in map(signal.Signals.__getitem__, names)}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def stop(number: int, _: FrameType | None) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)  # what follows is short, and has to be done
        _heard.append(Stopped(number))
        raise _heard[0]

    _heard.clear()
    try:
        for number in heard:
            signal.signal(number, stop)
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
