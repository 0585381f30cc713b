"""The local backend: the jobs of a plan as processes of this machine, some at a time, GPUs shared out. Torch-free.

Every job that is taken up is recorded like a submission to a scheduler, so another ``run`` leaves it alone, ``status``
shows what waits, and ``cancel`` takes it out of the queue. Jobs run from a frozen copy of the code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from bench.claim import claimed
from bench.job_records import JobRecords, Submission, new_token
from bench.launching.gpus import GpuError, free_gpus, gpus_here
from bench.launching.job_file import JobFile, JobSettings
from bench.launching.local_loop import Entry, LocalQueue, Machine
from bench.launching.outcome import Outcome
from bench.launching.queue_display import QueueDisplay
from bench.launching.resources import check_ranks
from bench.launching.snapshot import Snapshot, take_snapshot
from bench.launching.submitting import submitting
from bench.local_queue import LOCAL
from bench.plan import Action
from bench.store import Store

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """How many jobs at a time, and on what."""

    processes: int | None = None
    """Jobs at a time; None: as many as the free GPUs hold, one where there is none."""
    ranks: int = 1
    """Processes of each training; on GPUs each has one of its own. An evaluation has one."""
    jobs_per_gpu: int = 1
    """Jobs that share a GPU."""
    device: str = "auto"
    hang_after_s: float = 1200.0

    def __post_init__(self) -> None:
        wrong = [
            f"--{name.replace('_', '-')} is {value}; it must be at least 1"
            for name in ("processes", "ranks", "jobs_per_gpu")
            if (value := getattr(self, name)) is not None and value < 1
        ]
        if wrong:
            raise ValueError("; ".join(wrong))


def machine_for(settings: LocalSettings, environment: Mapping[str, str] | None = None) -> Machine:
    """What this machine has for jobs of these settings. Raises GpuError where it has too few free GPUs."""
    variables = os.environ if environment is None else environment
    found = gpus_here(variables) if settings.device != "cpu" else []
    if settings.device == "cuda" and not found:
        raise GpuError(
            "--device is cuda, but nvidia-smi shows no GPU; where there is one, name it in CUDA_VISIBLE_DEVICES"
        )
    if found:
        free = free_gpus(found, settings.ranks)
        places = len(free) * settings.jobs_per_gpu
        at_a_time = min(places, settings.processes if settings.processes is not None else places)
        return Machine(
            gpus=tuple(free),
            jobs_per_gpu=settings.jobs_per_gpu,
            at_a_time=at_a_time,
            threads=_threads(variables, at_a_time * settings.ranks),
        )
    at_a_time = settings.processes or 1
    threads = _threads(variables, at_a_time * settings.ranks)
    return Machine(gpus=(), jobs_per_gpu=1, at_a_time=at_a_time, threads=threads)


def _threads(environment: Mapping[str, str], processes: int) -> int | None:
    """A fair share of the cores, unless the user has said, or there is but one process."""
    if "OMP_NUM_THREADS" in environment or processes == 1:
        return None
    return max(1, len(os.sched_getaffinity(0)) // processes)


def run_local(
    decide: Callable[[], Sequence[Action]],
    store: Store,
    console: Console,
    settings: LocalSettings,
    *,
    project: Path | None = None,
) -> Outcome:
    """Take up what ``decide`` plans, and execute every action that runs a job. One failure does not stop the others.

    ``decide`` is called while no other process takes up jobs of the store. SIGINT, SIGTERM or SIGHUP stops every job
    after its current step, with the state saved; a second SIGINT at once. Raises ValueError where the settings do not
    fit the machine or the runs.
    """
    machine = machine_for(settings)
    folder = store.job_folder(f"{LOCAL}-{new_token()}")
    with contextlib.ExitStack() as stack:
        with submitting(store):
            actions = [action for action in decide() if action.runs]
            if not actions:
                return Outcome(finished=0, failed=(), interrupted=False)
            check_ranks(actions, settings.ranks, "--ranks")
            snapshot = take_snapshot(store, project) if project is not None else take_snapshot(store)
            stack.enter_context(claimed(folder))
            entries = _taken_up(actions, store, settings, folder, snapshot)
        display = stack.enter_context(QueueDisplay(console, len(entries)))
        display.say(f"{machine.told()}; code: {snapshot.told()}")
        queue = LocalQueue(entries, store, machine, settings.ranks, snapshot, display)
        stack.callback(queue.leave)
        with _signals(queue.asked_to_stop):
            outcome = queue.run()
    with contextlib.suppress(OSError):
        folder.rmdir()
    return outcome


def _taken_up(
    actions: Sequence[Action], store: Store, settings: LocalSettings, folder: Path, snapshot: Snapshot
) -> list[Entry]:
    """Record every job as handed over, with its job file."""
    records = JobRecords(store)
    entries = []
    for action in actions:
        job, token = action.job, new_token()
        ranks = settings.ranks if job.kind == "train" else 1
        how = JobSettings(
            device=settings.device, ranks_per_node=ranks, hang_after_s=settings.hang_after_s, requeue=False
        )
        JobFile(job=job, store=store.root.absolute(), settings=how).write()
        submission = Submission(
            token=token,
            name=f"{job.key}-{token}",
            scheduler=LOCAL,
            time=time.time(),
            folder=records.logs_folder(job.key).relative_to(store.root).as_posix(),
            ids=(token,),
            code=f"code/{snapshot.name}",
            queue=folder.relative_to(store.root).as_posix(),
            ranks_per_node=ranks,
        )
        records.intend(job.key, submission)
        entries.append(Entry(job=job, token=token))
    return entries


@contextlib.contextmanager
def _signals(asked: Callable[[bool], None]) -> Iterator[None]:
    """``asked(at once)`` hears of signals to stop; one that is ignored (nohup's SIGHUP) stays so."""

    def handle(number: int, frame: FrameType | None) -> None:
        asked(number == signal.SIGINT)

    kept = [number for number in _STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handle) for number in kept}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
