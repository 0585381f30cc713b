"""Asking a job to stop: a signal sets a flag, the job ends at its next safe place. Free of torch.

SLURM sends USR2 before a time limit and on preemption (where the site has set that up), TERM on scancel, at the limit
and on preemption everywhere; a terminal sends INT.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Collection, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


class StopRequested(BaseException):
    """Raised in the main thread of a job that has nothing to save when it is asked to stop."""


class StopRequest:
    """Whether this process was asked to stop, by which signal, and when."""

    def __init__(self) -> None:
        self.signal = ""
        """Name of the first signal, such as ``SIGUSR2``."""
        self.since: float | None = None
        """Seconds since the epoch."""
        self._at_once: frozenset[str] = frozenset()

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.since is not None

    @contextlib.contextmanager
    def at_once(self, signals: Collection[signal.Signals] = SIGNALS) -> Iterator[None]:
        """Inside the block one of ``signals`` (if it has come already, too) raises StopRequested."""
        self._at_once = frozenset(number.name for number in signals)
        try:
            if self.signal in self._at_once:
                raise StopRequested(self.signal)
            yield
        finally:
            self._at_once = frozenset()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: notes the first signal; a second SIGINT interrupts at once."""
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        name = signal.Signals(number).name
        if not self.asked:
            self.signal, self.since = name, time.time()
        if name in self._at_once:
            self._at_once = frozenset()
            self.signal = name
            raise StopRequested(name)


_current: list[StopRequest] = []


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Signals to stop are noted inside the block. Nested blocks share the outermost one's request."""
    if _current:
        yield _current[-1]
        return
    request = StopRequest()
    previous = {number: signal.signal(number, request.handle) for number in SIGNALS}
    _current.append(request)
    try:
        yield request
    finally:
        _current.pop()
        for number, old in previous.items():
            signal.signal(number, old)
