"""The watchdog of one rank: without a step for too long, it tells where every thread stands, and ends the process.

A hanging rank would hold the GPUs of all its peers until the scheduler's time limit; ended, it takes its job with it
(``srun --kill-on-bad-exit``, torchrun, the local backend), and the job may be started again.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TextIO

EXIT_CODE = 86
"""Of a process that its watchdog ended."""
_BACKSTOP_S = 30.0
"""How much later the interpreter itself (a thread without Python, should the main one never let go of the lock) ends
the process."""
_WAITING = ("torch/distributed/", "bench/training/distributed.py", "spade_core/sync_batch_norm.py")
_BACKWARD = "_engine_run_backward"


class HangError(RuntimeError):
    """No step for too long."""


@dataclass(frozen=True, kw_only=True)
class Hang:
    """Where a process stands that has not made a step for too long."""

    silent_s: float
    last: str
    """The last thing it reported."""
    place: str
    """Function and line of the main thread, such as ``load (bench/data/paired.py:88)``."""
    waits: bool
    """Whether the main thread waits for other ranks, so that the cause is most likely elsewhere."""
    stacks: str
    """The stack of every thread."""

    @property
    def summary(self) -> str:
        """One line."""
        how = "waits for its peers in" if self.waits else "hangs in"
        return f"no step for {self.silent_s:.0f} s (last: {self.last}); it {how} {self.place}"


class Watchdog:
    """Watches the main thread of this process from a thread of its own, while the block lasts.

    ``on_hang`` is called with the :class:`Hang` before the process ends with EXIT_CODE; ``end`` ends it.
    """

    def __init__(
        self,
        limit_s: float,
        on_hang: Callable[[Hang], None],
        *,
        end: Callable[[int], object] = os._exit,
        log: TextIO | None = None,
    ) -> None:
        self.limit_s = limit_s
        self._on_hang, self._end, self._log = on_hang, end, log if log is not None else sys.__stderr__
        self._main = threading.main_thread().ident
        self._last, self._what, self._armed = time.monotonic(), "start", 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self.beat("start")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._backstop:
            faulthandler.cancel_dump_traceback_later()

    @property
    def _backstop(self) -> bool:
        return self._end is os._exit and self._log is not None

    def beat(self, what: str) -> None:
        """A sign of life: ``what`` was done."""
        now = time.monotonic()
        self._last, self._what = now, what
        if self._backstop and now - self._armed > self.limit_s / 10:
            self._armed = now
            assert self._log is not None
            faulthandler.dump_traceback_later(self.limit_s * 1.1 + _BACKSTOP_S, exit=True, file=self._log)

    def _watch(self) -> None:
        pause_s = min(self.limit_s / 10, 1.0)  # of the first, longest limit
        looked = time.monotonic()
        while not self._ended.wait(pause_s):
            now = time.monotonic()
            if now - looked > 2 * pause_s + 1.0:  # the whole process was stopped, and has been continued
                self._last += now - looked
            looked = now
            silent_s = now - self._last
            if silent_s <= self.limit_s:
                continue
            hang = hang_of(self._main, silent_s, self._what)
            if self._log is not None:
                print(f"watchdog: {hang.summary}\n{hang.stacks}", file=self._log, flush=True)
            try:
                self._on_hang(hang)
            finally:
                self._end(EXIT_CODE)
            return


def hang_of(main: int | None, silent_s: float, last: str) -> Hang:
    """Where all threads stand now; ``main`` is the identity of the one that should make steps."""
    frames = sys._current_frames()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    order = sorted(frames, key=lambda ident: ident != main)
    stacks = [f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frames[ident]))}" for ident in order]
    frame = frames.get(main) if main is not None else None
    return Hang(
        silent_s=silent_s,
        last=last,
        place=place_of(frame) if frame is not None else "a place that is not known",
        waits=frame is not None and _waits(frame),
        stacks="\n".join(stacks),
    )


def place_of(frame: FrameType) -> str:
    """Function, file and line of a frame."""
    return f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})"


def _waits(frame: FrameType) -> bool:
    """Whether the innermost frame is that of a collective operation, or of a backward pass that may contain one."""
    return frame.f_code.co_name == _BACKWARD or any(part in frame.f_code.co_filename for part in _WAITING)
