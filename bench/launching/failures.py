"""How the failure of a training is written down: every rank's traceback, and in the status the first one's error."""

from __future__ import annotations

import sys
import time
import traceback
from typing import Any

from bench.atomic import written_beside
from bench.claim import FencedError
from bench.launching.watchdog import Hang
from bench.run_spec import RunSpec
from bench.store import LOST_PEER, RunFolder
from bench.training.checkpoint import checkpoint_steps
from bench.training.distributed import Ranks, is_lost_peer

PEER_S = 3.0
"""How long a rank that failed because of another one waits for that one's own word."""


class Failures:
    """Writes down how the training of a run ended on one rank, where it did not come to its end."""

    def __init__(self, run: RunSpec, folder: RunFolder, ranks: Ranks) -> None:
        self.run, self.folder, self.ranks = run, folder, ranks

    def error(self, error: BaseException) -> None:
        """An exception ended the training on this rank. Nothing is written when it was fenced."""
        if isinstance(error, FencedError):
            return
        first_line = (str(error).strip().splitlines() or [""])[0]
        line = f"{type(error).__name__}: {first_line}"
        lost = is_lost_peer(error)
        if lost:
            line = f"{LOST_PEER} ({line})"
        self._record(line, "".join(traceback.format_exception(error)), because_of_a_peer=lost)

    def hang(self, hang: Hang) -> None:
        """The watchdog ends this rank."""
        self._record(f"HangError: {hang.summary}", f"{hang.stacks}\n{hang.summary}\n", because_of_a_peer=hang.waits)

    def interrupted(self, why: str) -> None:
        """The training was stopped, and the next start goes on: not a failure."""
        if self.ranks.first:
            self._status(state="pending", note=why)

    def _record(self, line: str, text: str, *, because_of_a_peer: bool) -> None:
        """Never raises: the failure itself is what matters. What cannot be written is in the rank's log."""
        named = f"rank {self.ranks.rank}: {line}" if self.ranks.world > 1 else line
        try:
            self.folder.create(self.run)
            self._wait_for_the_cause(PEER_S if because_of_a_peer and self.ranks.world > 1 else 0.0)
            with written_beside(self.folder.rank_error_file(self.ranks.rank)) as temporary:
                temporary.write_text(f"{named}\n{text}", encoding="utf-8")
            _, cause = self.folder.first_error() or (None, named)
            self._status(state="failed", error=cause[:400])
        except (FencedError, OSError, ValueError) as problem:
            print(f"this failure could not be written down ({problem}):\n{named}\n{text}", file=sys.stderr, flush=True)

    def _wait_for_the_cause(self, seconds: float) -> None:
        """Until another rank has written down its failure, at most so long."""
        own = self.folder.rank_error_file(self.ranks.rank)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and all(path == own for path in self.folder.error_files()):
            time.sleep(0.1)

    def _status(self, **values: Any) -> None:
        self.folder.write_status(
            step=max(checkpoint_steps(self.folder.checkpoints), default=0),
            steps=self.run.training.steps,
            attempt=max(self.folder.attempts, 1),
            **values,
        )
