"""One process at a time plans and takes jobs of a store up, whatever the backend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.claim import ClaimedError, claimed
from bench.launching.slurm.commands import SchedulerError
from bench.store import Store


@contextlib.contextmanager
def submitting(store: Store) -> Iterator[None]:
    """For the block nobody else plans, takes up or cancels jobs. Raises SchedulerError while another process does."""
    try:
        with claimed(store.job_folder(".submitting")):
            yield
    except ClaimedError as error:
        raise SchedulerError(f"another process hands jobs of this store over at this moment: {error}") from None
