"""Executes one job file: one life of the job, on as many ranks as RANK, WORLD_SIZE and the like describe.

    python -m bench.launching.execute STORE/jobs/<key>/job.json

as torchrun or any backend starts it, is the same as a process of its own. It ends with status 0 when the job is done,
75 when it was stopped with its state saved (start it again to go on), 1 after a failure. torch is imported late, so
that a signal which comes at the very start finds its handler.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from bench.claim import HEARTBEAT_LOST_S, Claimant, FencedError, claiming_as
from bench.launching.job_file import JobFile
from bench.launching.stopping import SIGNALS, StopRequested, stop_requests
from bench.lives import BY_HAND, End, Life, Start, begin_life, end_life
from bench.plan import job_state
from bench.signs import LifeSign, sign_of_life
from bench.store import Store

Outcome = Literal["done", "stopped"]
EXIT_STOPPED = 75
"""Exit status of a job that was stopped with its state saved."""

Note = Callable[[End, str], None]
"""Writes down how a life ended."""
Settle = Callable[[Note, str], None]
"""Called on rank 0 once a job has stopped, with the signal's name: whoever started the job sees to its next life."""


def leave_it(note: Note, signal: str) -> None:
    """Somebody will start the job again."""
    note("stopped", f"{signal}; its state is saved, started again it goes on")


def execute(path: Path, *, start: Start = BY_HAND, settle: Settle = leave_it) -> Outcome:
    """Execute the job in the file ``path`` to its end, or until a signal stops it.

    Every rank calls this. A job that is done already is left alone. Raises what the job raises (its failure is in the
    store by then); TooManyLivesError when ``start``'s submission has had its share; FencedError when a later life of
    the job has taken over, after which nothing was written.
    """
    file = JobFile.read(path)
    store = Store(file.store)
    with stop_requests() as stop:
        if job_state(store, file.job).status.state == "done":
            _say(f"{file.job.title}: done already")
            return "done"
        with sign_of_life(file.folder, start) as sign, _one_life(file, store, start) as life:
            outcome = sign.outcome = _outcome(file, store, sign)
            if life is not None and outcome == "done":
                end_life(file.folder, life, "done")
            elif life is not None:
                _say(f"stopped by {stop.signal or 'another rank'}")
                settle(lambda end, why: end_life(file.folder, life, end, why), stop.signal or "asked on another rank")
    return outcome


def _outcome(file: JobFile, store: Store, sign: LifeSign) -> Outcome:
    from rich.console import Console

    from bench.launching.progress import ProgressLine

    job, settings = file.job, file.settings
    with stop_requests() as stop, ProgressLine(Console(file=sys.stdout, width=160), job.title) as line:
        if job.evaluation is None:
            from bench.launching.training_job import train_job

            assert job.run is not None

            def trained(done: int, of: int, what: str) -> None:
                sign.progress(done, of, "train")
                line.update(done, of, what)

            finished = train_job(
                job.run, store, device=settings.device, progress=trained, hang_after_s=settings.hang_after_s
            )
            return "done" if finished else "stopped"
        from bench.launching.evaluation_job import evaluate_job
        from bench.launching.watchdog import Watchdog

        def progress(done: int, of: int, what: str) -> None:
            watchdog.beat(f"{what} {done} of {of}")
            sign.progress(done, of, what)
            line.update(done, of, what)

        # An evaluation has nothing to save: the images that are there are the state. One of several ranks goes on at
        # TERM: srun sends it when a peer has failed, which must not pass for a stop.
        heeded = SIGNALS if file.ranks == 1 else [number for number in SIGNALS if number != signal.SIGTERM]
        try:
            with stop.at_once(heeded), Watchdog(settings.hang_after_s, lambda hang: None) as watchdog:
                evaluate_job(job.evaluation, job.run, store, device=settings.device, progress=progress)
        except StopRequested:
            return "stopped"
        return "done"


@contextlib.contextmanager
def _one_life(file: JobFile, store: Store, start: Start) -> Iterator[Life | None]:
    """On rank 0, the life that begins; how it ends is noted where the block raises. None on the other ranks."""
    if int(os.environ.get("RANK", "0")) != 0:
        yield None
        return
    saved = _saved(file, store)
    life = begin_life(
        file.folder,
        start,
        ranks=file.ranks,
        saved=saved,
        max_lives=file.settings.max_lives,
        max_idle=file.settings.max_idle_lives,
    )
    at = f"SLURM job {life.scheduled_id}, restart {life.restart}, " if life.scheduled_id else ""
    _say(f"{file.job.title}: life {life.number} on {life.host} ({at}pid {life.pid}); {saved} saved before")
    # Where a scheduler starts the lives, nobody is there to wait until a dead holder shows as dead.
    claimant = Claimant()
    if start.submission:
        claimant = Claimant(job=start.submission, life=life.number, wait_s=HEARTBEAT_LOST_S + 30.0)
    try:
        with claiming_as(claimant):
            yield life
    except FencedError as error:
        _say(f"fenced: {error}")
        raise
    except BaseException as error:
        line = (str(error).strip().splitlines() or [""])[0]
        end_life(file.folder, life, "failed", f"{type(error).__name__}: {line}"[:400])
        raise


def _saved(file: JobFile, store: Store) -> int:
    """How much of the job is there: the newest checkpoint's step, or images that were generated."""
    run = file.job.run
    if run is None:
        return 0
    folder = store.run(run)
    if file.job.evaluation is None:
        return folder.saved_step()
    return sum(1 for _ in (folder.path / "generated").glob("*/*.png"))


def _say(text: str) -> None:
    """A line for the log."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.launching.execute", description="Execute one job file.")
    parser.add_argument("job_file", type=Path, help="STORE/jobs/<key>/job.json")
    parser.add_argument("--submission", default="", help="Token of the submission, where it may have several lives.")
    given = parser.parse_args(arguments)
    outcome = execute(given.job_file, start=Start(submission=given.submission))
    return 0 if outcome == "done" else EXIT_STOPPED


if __name__ == "__main__":
    stop_requests().__enter__()  # for the rest of the process
    ended = main()
    for number in SIGNALS:  # one that comes while the interpreter winds up would kill it: the job would have failed
        signal.signal(number, signal.SIG_IGN)
    sys.exit(ended)
