"""One job of several ranks claims a folder once, for all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.claim import ClaimedError, claimed
from bench.training.distributed import Ranks


@contextlib.contextmanager
def claimed_by_first(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Rank 0 claims ``folder``; every rank raises ClaimedError where it cannot."""
    with contextlib.ExitStack() as stack:
        problem = None
        if ranks.first:
            try:
                stack.enter_context(claimed(folder))
            except ClaimedError as error:
                problem = str(error)
        problem = ranks.broadcast(problem)
        if problem is not None:
            raise ClaimedError(problem)
        yield
