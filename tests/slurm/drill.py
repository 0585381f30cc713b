"""What every drill does: submit the real trainer, disturb it, and compare with an undisturbed run to the bit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.launching.profile import ClusterProfile
from bench.launching.slurm.script import Shape
from bench.launching.slurm.submit import Request, hand_over, submitting
from bench.launching.snapshot import take_snapshot
from bench.lives import Life, lives
from bench.plan import Action, Job, Verb
from bench.run_spec import RunSpec
from bench.store import RunFolder, Store
from bench.training.checkpoint import checkpoint_path, load_checkpoint
from tests.slurm.cluster import Cluster, descendants
from tests.tiny import tiny_run

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(__file__).with_name("site")
STEPS, SAVE_EVERY = 24, 6
POLL_S = 0.1


def drill_run(ranks: int, *, seed: int = 3, **training: Any) -> RunSpec:
    """The SPADE decoder at 32 px and width 4; every step is in the metrics, every sixth in a checkpoint."""
    fields = {
        "steps": STEPS,
        "batch_images": max(4, ranks),
        "log_every_steps": 1,
        "save_every_steps": SAVE_EVERY,
        **training,
    }
    return tiny_run("spade-decoder", ranks=ranks, seed=seed, **fields)


def training_of(run: RunSpec) -> Job:
    """The planned job that trains ``run``."""
    return Job(kind="train", label="drill", dataset=run.dataset.name, seed=run.seed, run=run)


@dataclass(kw_only=True)
class Drill:
    """One drill: a store of its own on the cluster that all share."""

    cluster: Cluster
    folder: Path
    run: RunSpec
    slow_s: float = 0.0
    """Seconds that every step takes longer in the job's first life."""
    slow_lives: int = 1
    slow_images_s: float = 0.0
    """The same for every eight generated images."""
    fault: str = ""
    """Such as ``raise:15:1``: kind, step, rank; it comes once."""
    disk: Path | None = None
    """Where the store is, if not in ``folder``."""
    numbers: list[str] = field(default_factory=list)
    """SLURM's numbers of what was submitted."""

    @property
    def store(self) -> Store:
        return Store((self.disk or self.folder) / "store")

    @property
    def run_folder(self) -> RunFolder:
        return self.store.run(self.run)

    def submit(self, job: Job | None = None, *, nodes: int = 1, ranks_per_node: int = 2, **profile: Any) -> str:
        """Hand over the training (or ``job``), as the command line does; returns SLURM's number.

        ``profile`` are fields of the cluster profile.
        """
        job = job or training_of(self.run)
        (number,) = self.hand_over([job], nodes=nodes, ranks_per_node=ranks_per_node, **profile)[job.key]
        return number

    def submit_chain(self, **profile: Any) -> tuple[str, ...]:
        """Hand the training over as a chain of jobs; returns SLURM's numbers."""
        job = training_of(self.run)
        return self.hand_over([job], requeue=False, **profile)[job.key]

    def hand_over(
        self,
        jobs: Sequence[Job],
        *,
        nodes: int = 1,
        ranks_per_node: int = 2,
        max_running: int | None = None,
        **profile: Any,
    ) -> dict[str, tuple[str, ...]]:
        """Hand over several jobs in one call; returns SLURM's numbers by job key."""
        request = Request(
            store=self.store,
            profile=self.profile(ranks_per_node, **profile),
            shape=Shape(nodes=nodes, gpus_per_node=ranks_per_node),
            snapshot=take_snapshot(self.store),
            cluster="drills",
            study="drill",
            array_size=1000,
            max_running=max_running,
        )
        actions = [Action(verb=Verb.SUBMIT, job=job, reason="a drill") for job in jobs]
        with submitting(self.store):
            handed = hand_over(actions, request)
        assert not handed.left, handed.left
        self.numbers += [number for numbers in handed.submitted.values() for number in numbers]
        return handed.submitted

    def profile(self, ranks_per_node: int, **fields: Any) -> ClusterProfile:
        """The cluster, with what disturbs its jobs (see site/sitecustomize.py)."""
        values = {
            "OMP_NUM_THREADS": "1",
            "DRILL_TRACE": str(self.folder / "trace"),
            "DRILL_SLOW_S": str(self.slow_s),
            "DRILL_SLOW_IMAGES_S": str(self.slow_images_s),
            "DRILL_SLOW_LIVES": str(self.slow_lives),
            **({"DRILL_FAULT": self.fault, "DRILL_ONCE": str(self.folder / "faulted")} if self.fault else {}),
        }
        given = {
            "name": "drills",
            "gpus_per_node": ranks_per_node,
            "device": "cpu",
            "cpus_per_gpu": 1,
            "time_limit": "0:30:00",
            "container": ("bash", "-c", f'PYTHONPATH={SITE}:$PYTHONPATH exec "$@"', "bash"),
            "environment": values,
            **fields,
        }
        return ClusterProfile(**given)

    # What is known of the job.

    def step(self) -> int:
        """The newest step in the metrics."""
        rows = self.run_folder.metrics()
        return int(rows[-1]["step"]) if rows else 0

    def lives(self) -> list[Life]:
        """Every life of the training."""
        return self.lives_of(training_of(self.run))

    def lives_of(self, job: Job) -> list[Life]:
        """Every life of a job."""
        return lives(self.store.job_folder(job.key))

    def scheduled(self, number: str | None = None, what: str = "%T") -> str:
        """What squeue says of the job; nothing once it has forgotten it."""
        wanted = number or self.numbers[-1]
        return self.cluster.command("squeue", "-h", "-t", "all", "-j", wanted, "-o", what, check=False)

    def node(self) -> int:
        """Number of the node that the job is on."""
        return int(self.scheduled(what="%N").removeprefix("node"))

    def notify(self, number: str | None = None) -> None:
        """Tell every rank to stop, by SLURM."""
        self.cluster.command("scancel", "--signal=USR2", number or self.numbers[-1])

    def notify_without_slurm(self, number: str | None = None) -> None:
        """The same by the machine: works without a controller, and for an element of an array too (there ``scancel``
        of SLURM 22.05 sends the signal again and again, until after the element's next start)."""
        job, _, element = (number or self.numbers[-1]).partition("_")
        name = "SLURM_ARRAY_JOB_ID" if element else "SLURM_JOB_ID"
        wanted = {f"{name}={job}".encode(), *([f"SLURM_ARRAY_TASK_ID={element}".encode()] if element else [])}
        found = 0
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                variables = set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
                if b"python" in command[0] and b"submitit.core._submit" in command and wanted <= variables:
                    os.kill(pid, signal.SIGUSR2)
                    found += 1
        assert found, f"job {number} has no process\n{self.report()}"

    def newest_saved(self) -> int:
        """Step of the newest checkpoint."""
        return self.run_folder.saved_step()

    def logs(self) -> str:
        """What all ranks of all jobs have printed."""
        return "\n".join(path.read_text(errors="replace") for path in self.store.root.glob("jobs/*/logs/*.out"))

    def why(self) -> str:
        """What `why` prints of the run; rich may break lines, so that all spaces are one here."""
        return " ".join(self.verb("why", self.run.run_id).split())

    def verb(self, *words: str) -> str:
        """Standard output of a verb of the command line on this store."""
        command = [sys.executable, str(ROOT / "run_study.py"), *words, "--store", str(self.store.root)]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.cluster.environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    # Waiting.

    def until(self, ready: Callable[[], bool], what: str, timeout_s: float = 300.0) -> None:
        """Wait; fails with everything that is known when it takes too long."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            assert time.monotonic() < deadline, f"{what}: not after {timeout_s:.0f} s\n{self.report()}"
            time.sleep(POLL_S)

    def until_step(self, step: int, timeout_s: float = 300.0) -> None:
        """Until that step is in the metrics."""
        self.until(lambda: self.step() >= step, f"step {step}", timeout_s)

    def until_over(self, number: str | None = None, timeout_s: float = 300.0) -> str:
        """Until SLURM is through with the job; returns its last state."""
        through = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "")
        self.until(lambda: self.scheduled(number) in through, "the end of the job", timeout_s)
        return self.scheduled(number)

    def report(self) -> str:
        """Everything that helps to see why a drill failed."""
        lines = [self.cluster.command("squeue", "-t", "all", check=False), str(self.run_folder.status())]
        lines += [str(life) for life in self.lives()]
        for path in sorted(self.store.root.glob("jobs/*/logs/*.out")):
            lines.append(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}")
        return "\n".join(lines)

    # What every drill ends with.

    def assert_equal_to(self, reference: str, *, saved: list[int] | None = None) -> None:
        """The run is done, its last state is the reference's to the bit, and no step was done more often than needed.

        Needed is again what came after the newest checkpoint in a life that was killed; after one that was told to stop
        that is nothing. Every step is in the metrics once. Each life went on from what was ``saved`` before it.
        """
        told, steps = self.report(), self.run.training.steps
        assert self.run_folder.status().state == "done", told
        assert final_sha256(self.run_folder, self.run) == reference, told
        assert [row["step"] for row in self.run_folder.metrics()] == list(range(1, steps + 1)), told
        first = self.first_steps()
        begun = self.begun()
        for rank, by_life in begun.items():
            assert [done[0] for done in by_life.values()] == [step + 1 for step in first], f"{first} {begun}\n{told}"
            assert list(by_life.values())[-1][-1] == steps, f"rank {rank}: {by_life}"
        assert [life.saved for life in self.lives()] == (saved or first), told

    def begun(self) -> dict[int, dict[str, list[int]]]:
        """By rank and life, the steps that were begun."""
        found: dict[int, dict[str, list[int]]] = {}
        for line in (self.folder / "trace").read_text().splitlines():
            life, rank, step = line.split()
            found.setdefault(int(rank), {}).setdefault(life, []).append(int(step))
        return found

    def done_again(self) -> int:
        """How many steps each rank began more often than once; the same on all ranks."""
        again = {
            sum(map(len, by_life.values())) - len({step for steps in by_life.values() for step in steps})
            for by_life in self.begun().values()
        }
        assert len(again) == 1, self.begun()
        return again.pop()

    def first_steps(self) -> list[int]:
        """The step that each attempt went on from."""
        files = sorted(self.run_folder.path.glob("provenance-*.json"), key=lambda path: int(path.stem.split("-")[1]))
        return [json.loads(path.read_text())["first_step"] for path in files]


def final_sha256(folder: RunFolder, run: RunSpec) -> str:
    """Checksum of everything in the last checkpoint: networks, optimizers, random states."""
    digest: str = load_checkpoint(checkpoint_path(folder.checkpoints, run.training.steps))["sha256"]
    return digest
