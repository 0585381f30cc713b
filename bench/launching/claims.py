"""One job of several ranks claims a folder once, for all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.atomic import guarded, remove_unfinished
from bench.claim import ClaimedError, Lease, claimed
from bench.training.distributed import Ranks


@contextlib.contextmanager
def claimed_by_first(folder: Path, ranks: Ranks, prepare: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Rank 0 claims ``folder``, clears away what killed processes left half written, and calls ``prepare``.

    Every rank raises ClaimedError where it cannot be claimed; on every rank each write in the folder is fenced.
    """
    with contextlib.ExitStack() as stack:
        taken: tuple[int, str] | str = ""
        if ranks.first:
            try:
                lease = stack.enter_context(claimed(folder))
                taken = (lease.epoch, lease.token)
                remove_unfinished(folder)
                prepare()
            except ClaimedError as error:
                taken = str(error)
        taken = ranks.broadcast(taken)
        if isinstance(taken, str):
            raise ClaimedError(taken)
        if not ranks.first:
            epoch, token = taken
            stack.enter_context(guarded(folder, Lease(folder=folder, epoch=epoch, token=token).check))
        yield
