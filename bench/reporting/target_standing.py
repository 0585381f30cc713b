"""How one job stands that a user has named; it need not belong to any study."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from bench.job_records import JobRecords, Submission
from bench.local_queue import LOCAL, local_state
from bench.reporting.standing import Standing, standing
from bench.scheduler import Scheduled
from bench.store import RunStatus, Store
from bench.targets import Target


@dataclass(frozen=True, kw_only=True)
class TargetStanding:
    """What folder, records and scheduler say of one job."""

    status: RunStatus
    scheduled: Scheduled | None
    standing: Standing
    submission: Submission | None
    """The newest one."""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        held = self.scheduled is not None and self.scheduled.state != "ended" and not self.scheduled.hopeless
        return self.standing.state == "done" or (
            not held and self.standing.state in ("failed", "cancelled", "stopped", "hopeless")
        )


def target_standing(store: Store, target: Target, heard: Mapping[str, Scheduled] | None = None) -> TargetStanding:
    """How ``target`` stands now; ``heard`` is what a scheduler said, by job key."""
    submission = JobRecords(store).latest(target.key)
    scheduled = (heard or {}).get(target.key)
    if scheduled is None and submission is not None:
        local = submission.scheduler == LOCAL
        scheduled = local_state(store, target.key, submission) if local else submission.scheduled()
    if target.kind == "train":
        status = target.run.status() if target.run is not None else RunStatus(state="pending")
        saved = target.run is not None and target.run.saved_step() > 0
    else:
        status, saved = _evaluation_status(store, target.identity), False
    stands = standing(status, scheduled, time.time(), saved=saved)
    return TargetStanding(status=status, scheduled=scheduled, standing=stands, submission=submission)


def _evaluation_status(store: Store, eval_id: str) -> RunStatus:
    if store.evaluation(eval_id) is not None:
        return RunStatus(state="done")
    holder = store.evaluation_holder(eval_id)
    if holder is not None:
        return RunStatus(state="running", host=holder.host, pid=holder.pid, updated=holder.since)
    error = store.evaluation_error(eval_id)
    if error:
        return RunStatus(state="failed", error=error, updated=store.evaluation_error_time(eval_id))
    return RunStatus(state="pending")
