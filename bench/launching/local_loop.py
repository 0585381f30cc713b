"""The loop of the local backend: what waits, what runs, what has ended. Torch-free."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.claim import ClaimedError, claimed
from bench.job_records import JobRecords, Submission
from bench.launching.gpus import Gpu, GpuPlaces
from bench.launching.job_file import JobFile
from bench.launching.local_process import JobProcesses, Verdict
from bench.launching.outcome import Outcome
from bench.launching.queue_display import QueueDisplay
from bench.launching.snapshot import Snapshot, frozen_environment
from bench.local_queue import LOCAL
from bench.plan import Job, job_state
from bench.scheduler import Cause, Scheduled
from bench.signs import signs
from bench.store import Store

_TICK_S = 0.1
_LOOK_S = 1.0
"""Between two looks at what running jobs say of themselves, and whether somebody cancelled them."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the jobs share out."""

    gpus: tuple[Gpu, ...]
    """Free ones; none for jobs on the CPU, or where it is not known which there are."""
    jobs_per_gpu: int
    at_a_time: int
    threads: int | None
    """Threads of each process; None: torch's own choice."""

    def told(self) -> str:
        """Such as ``2 jobs at a time on GPU 0, 1``."""
        where = f"on GPU {', '.join(gpu.name for gpu in self.gpus)}" if self.gpus else "on the CPU"
        threads = f", {self.threads} thread{'s'[: self.threads != 1]} a process" if self.threads is not None else ""
        return f"{self.at_a_time} job{'s'[: self.at_a_time != 1]} at a time {where}{threads}"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One job in the queue."""

    job: Job
    token: str
    """Of its submission."""

    @property
    def run_id(self) -> str | None:
        """Of what it trains, or judges; None for the real images."""
        return self.job.run.run_id if self.job.run is not None else None


class LocalQueue:
    """The loop: what waits, what runs, what has ended."""

    def __init__(
        self,
        entries: Sequence[Entry],
        store: Store,
        machine: Machine,
        ranks: int,
        snapshot: Snapshot,
        display: QueueDisplay,
    ) -> None:
        """``ranks`` of each training; an evaluation has one."""
        self.store, self.machine, self.ranks, self.snapshot = store, machine, ranks, snapshot
        self.display, self.records = display, JobRecords(store)
        self._waiting = list(entries)
        self._running: list[tuple[Entry, JobProcesses]] = []
        self._places = GpuPlaces(machine.gpus, machine.jobs_per_gpu)
        self._finished, self._failed = 0, list[tuple[Job, str]]()
        self._unfinished: dict[str | None, str] = {}
        self._asked = 0
        self._told = 0
        self._looked = 0.0

    def run(self) -> Outcome:
        """Until nothing waits or runs any more, or it was asked to stop and everything has."""
        while self._running or (self._waiting and not self._asked):
            self._stop_as_asked()
            for entry, processes in list(self._running):
                if not processes.running():
                    self._running.remove((entry, processes))
                    self._places.give_back(processes.gpus)
                    self._settle(entry, processes)
            if not self._asked:
                self._start_what_can_be()
            self._look()
            time.sleep(_TICK_S)
        return Outcome(finished=self._finished, failed=tuple(self._failed), interrupted=bool(self._asked))

    def asked_to_stop(self, at_once: bool) -> None:
        """From the signal handler: only counted here."""
        self._asked = max(self._asked, 1) + (1 if at_once and self._asked else 0)

    def leave(self) -> None:
        """What never began is nobody's any more; what still runs (after a bug here) is ended."""
        for entry, processes in self._running:
            processes.kill()
            self.display.say(f"{entry.job.title}: killed, the backend itself has failed", "red")
        for entry in self._waiting:
            if self._still_wanted(entry):
                self.records.refused(entry.job.key, entry.token, "the process that would have started it was stopped")
        if self._waiting:
            self.display.say(f"not begun: {len(self._waiting)} job{'s'[: len(self._waiting) != 1]}")

    def _stop_as_asked(self) -> None:
        if self._told == self._asked:
            return
        self._told = self._asked
        if self._asked == 1:
            count = len(self._running)
            self.display.say(
                f"stopping {count} job{'s'[: count != 1]} after the current step, the state is saved; "
                f"Ctrl-C again stops at once"
            )
        for _, processes in self._running:
            if self._asked == 1:
                processes.stop()
            else:
                processes.kill()

    def _start_what_can_be(self) -> None:
        before = {entry.run_id for entry in self._waiting if entry.job.kind == "train"}
        before |= {entry.run_id for entry, _ in self._running if entry.job.kind == "train"}
        for entry in list(self._waiting):
            if len(self._running) >= self.machine.at_a_time:
                return
            if entry.job.kind == "evaluate" and entry.run_id is not None and entry.run_id in before:
                continue
            ranks = self.ranks if entry.job.kind == "train" else 1
            gpus = self._places.take(ranks) if self.machine.gpus else ()
            if gpus is None:
                if entry.job.kind == "train":
                    return  # nothing smaller goes before it for ever
                continue
            self._waiting.remove(entry)
            if not self._start(entry, gpus):
                self._places.give_back(gpus)
                before.discard(entry.run_id)

    def _start(self, entry: Entry, gpus: tuple[Gpu, ...]) -> bool:
        """Start a job; returns False where it was left out, which is then said."""
        job = entry.job
        why = self._unfinished.get(entry.run_id) if job.kind == "evaluate" and entry.run_id is not None else None
        state = job_state(self.store, job)
        if why is not None:
            self._leave_out(entry, f"left out, its training {why}")
        elif not self._still_wanted(entry):
            self._cancelled(entry)
            self.display.ended(job.key, f"{job.title}: cancelled before it began")
        elif state.status.state in ("done", "running"):
            self._taken(entry, state.status.state)
        else:
            file = JobFile.read(self.store.job_folder(job.key).absolute() / "job.json")
            processes = JobProcesses(
                file,
                entry.token,
                self.records.logs_folder(job.key),
                environment=self._environment(),
                folder=self.snapshot.folder,
                gpus=gpus,
            )
            self._running.append((entry, processes))
            where = f"GPU {', '.join(gpu.name for gpu in gpus)}" if gpus else ""
            self.display.started(job.key, job.title, where)
            return True
        return False

    def _environment(self) -> dict[str, str]:
        """That of this process, with folders of data and weights as they are named from here."""
        found = dict(os.environ)
        for name, value in os.environ.items():
            if name.startswith("SPADE_BENCH_") and value and Path(value).exists():
                found[name] = str(Path(value).absolute())
        if self.machine.threads is not None:
            found["OMP_NUM_THREADS"] = str(self.machine.threads)
        return frozen_environment(self.snapshot, found)

    def _settle(self, entry: Entry, processes: JobProcesses) -> None:
        """A job has ended: write down how, and say so."""
        job, verdict = entry.job, processes.verdict()
        if verdict.how == "taken":
            self._taken(entry, "running")
            return
        if verdict.how == "done":
            self._finished += 1
            self._record(entry, "completed", verdict)
            self.display.ended(job.key, f"{job.title}: done in {self.display.seconds(job.key):.0f} s")
            return
        if job.kind == "train":
            self._unfinished[entry.run_id] = "failed" if verdict.how == "failed" else "was stopped"
        if verdict.how == "stopped" or (self._asked > 1 and verdict.how == "failed"):
            self._stopped(entry, verdict)
            return
        assert verdict.first is not None
        why = self._why(entry, processes, verdict)
        self._failed.append((job, why))
        self._record(entry, "out of memory" if verdict.out_of_memory else "failed", verdict, why)
        self.display.ended(job.key, f"{job.title}: FAILED: {why}", "red")

    def _stopped(self, entry: Entry, verdict: Verdict) -> None:
        job = entry.job
        killed = verdict.how == "failed"
        if killed:
            self._note_interruption(job)
        told = "stopped at once; what was done since the last checkpoint is done again" if killed else "stopped"
        if not killed and job.kind == "train":
            told += f", saved at step {job_state(self.store, job).status.step}"
        if self._asked:
            self._record(entry, "completed", verdict, "interrupted, with the process that had started it")
        else:
            self._cancelled(entry, verdict)
        self.display.ended(job.key, f"{job.title}: {told}")

    def _note_interruption(self, job: Job) -> None:
        """A killed training cannot say itself that it did not fail."""
        if job.run is None or job.kind != "train":
            return
        folder = self.store.run(job.run)
        status = folder.status()
        if status.state == "failed" and folder.exists():
            with contextlib.suppress(ClaimedError, OSError), claimed(folder.path):
                folder.write_status(
                    state="pending",
                    step=folder.saved_step(),
                    steps=job.run.training.steps,
                    attempt=max(folder.attempts, 1),
                    note="interrupted at once; what was done since the last checkpoint is done again",
                )

    def _why(self, entry: Entry, processes: JobProcesses, verdict: Verdict) -> str:
        """One line: the error that was written down, or how the first rank ended."""
        assert verdict.first is not None
        told = verdict.first.told(processes.file.ranks)
        if verdict.out_of_memory:
            return f"{told}; the machine's memory ran out"
        job = entry.job
        if job.evaluation is not None:
            written = self.store.evaluation_error(job.evaluation.eval_id)
        else:
            assert job.run is not None
            first = self.store.run(job.run).first_error()
            written = first[1] if first is not None else ""
        return written if written and verdict.first.signal is None else told

    def _taken(self, entry: Entry, state: str) -> None:
        if state == "running" and entry.job.kind == "train":
            self._unfinished[entry.run_id] = "is not finished"
        self._leave_out(entry, f"left to the process that has taken it up ({state})")

    def _leave_out(self, entry: Entry, why: str) -> None:
        """It is not begun, and counts as never handed over."""
        if self._still_wanted(entry):
            self.records.refused(entry.job.key, entry.token, why)
        self.display.ended(entry.job.key, f"{entry.job.title}: {why}")

    def _still_wanted(self, entry: Entry) -> bool:
        """Whether nobody has cancelled it."""
        own = self._submission(entry)
        return own is not None and own.open

    def _submission(self, entry: Entry) -> Submission | None:
        return next((item for item in self.records.read(entry.job.key) if item.token == entry.token), None)

    def _cancelled(self, entry: Entry, verdict: Verdict | None = None) -> None:
        if entry.job.kind == "train":
            self._unfinished[entry.run_id] = "was cancelled"
        if verdict is not None:
            self._record(entry, "cancelled", verdict, "its processes were asked to stop by a signal")

    def _record(self, entry: Entry, cause: Cause, verdict: Verdict, why: str = "") -> None:
        """How it ended, unless whoever cancelled it has written that already."""
        own = self._submission(entry)
        if own is None or not own.open:
            return
        first = verdict.first
        how = Scheduled(
            state="ended",
            id=entry.token,
            ids=(entry.token,),
            node=socket.gethostname(),
            exit_code=first.status if first is not None and first.status > 0 else None,
            signal=first.signal if first is not None else None,
            cause=cause,
            reason=why,
            since=own.time,
            scheduler=LOCAL,
        )
        self.records.ended(entry.job.key, entry.token, how)

    def _look(self) -> None:
        """Once in a while: progress, and whether a running job was cancelled."""
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        for entry, processes in self._running:
            job = entry.job
            if not self._asked and not self._still_wanted(entry):
                processes.stop()
            if job.kind == "train":
                status = job_state(self.store, job).status
                speed = f"{status.images_per_s:.1f} images/s" if status.images_per_s is not None else ""
                self.display.progress(job.key, job.title, status.step, status.steps, speed)
                continue
            for sign in signs(self.store.job_folder(job.key), entry.token)[:1]:
                self.display.progress(job.key, job.title, sign.done, sign.of, sign.doing)
