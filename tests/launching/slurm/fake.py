"""A pretended cluster for tests: SLURM's commands first in PATH, its jobs moved on by the test."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.launching.slurm import fake_commands
from tests.launching.slurm.fake_commands import ENDED

COMMANDS = ("sbatch", "squeue", "sacct", "scontrol", "scancel")
_DEFAULTS: dict[str, Any] = {
    "next": 100,
    "jobs": {},
    "delay_s": 0.0,
    "cluster": "pretended",
    "accounting": True,
    "max_array_size": 1001,
    "max_jobs": 0,
    "refuse": [],
    "lose_answers": 0,
    "away": False,
}


class FakeSlurm:
    """The state of the pretended cluster, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        text = Path(fake_commands.__file__).read_text(encoding="utf-8")
        for name in COMMANDS:
            (self.bin / name).write_text(f"#!{sys.executable} -SE\n{text}", encoding="utf-8")
            (self.bin / name).chmod(0o755)
        (folder / "state.json").write_text(json.dumps(_DEFAULTS), encoding="utf-8")

    @contextmanager
    def state(self) -> Iterator[dict[str, Any]]:
        """The state, to be changed inside the block."""
        path = self.folder / "state.json"
        state = json.loads(path.read_text(encoding="utf-8"))
        yield state
        path.write_text(json.dumps(state), encoding="utf-8")

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """Every job by number, in the order of submission."""
        with self.state() as state:
            jobs: dict[str, dict[str, Any]] = state["jobs"]
        return jobs

    def calls(self, name: str = "") -> list[list[str]]:
        """The commands that were called (of one name), with their arguments."""
        path = self.folder / "calls.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return [call for call in map(json.loads, lines) if not name or call[0] == name]

    def forget_calls(self) -> None:
        """Count anew."""
        (self.folder / "calls.jsonl").unlink(missing_ok=True)

    def set(self, **values: Any) -> None:
        """Change what the cluster is like: delay_s, away, refuse, lose_answers, max_jobs, accounting ..."""
        with self.state() as state:
            assert values.keys() <= state.keys()
            state.update(values)

    def change(self, number: str, **values: Any) -> None:
        """Change one job: state, reason, node, exit, steps, forgotten ..."""
        with self.state() as state:
            state["jobs"][number].update(values)

    def restart(self, number: str, word: str) -> None:
        """The job's life ends with ``word`` and it is pending again."""
        with self.state() as state:
            job = state["jobs"][number]
            job["lives"].append({"state": word, "exit": "0:0", "node": job["node"], "start": 1, "end": 2, "steps": []})
            job.update(state="PENDING", reason="BeginTime", node="")

    def start(self, most: int) -> list[str]:
        """Start pending jobs whose conditions are met, at most so many; returns their numbers."""
        started: list[str] = []
        with self.state() as state:
            jobs = state["jobs"]
            running: dict[str, int] = {}
            for job in jobs.values():
                running[job["base"]] = running.get(job["base"], 0) + (job["state"] == "RUNNING")
            for job in jobs.values():
                if job["state"] != "PENDING" or len(started) >= most:
                    continue
                met = condition(jobs, job)
                if met is None:
                    job.update(state="CANCELLED", reason="DependencyNeverSatisfied", end=int(time.time()))
                elif met and not (job["limit"] and running[job["base"]] >= job["limit"]):
                    job.update(state="RUNNING", reason="None", node="node1", start=int(time.time()))
                    running[job["base"]] += 1
                    started.append(job["id"])
        return started

    def end(self, numbers: list[str], word: str = "COMPLETED", code: str = "0:0") -> None:
        """End running jobs."""
        with self.state() as state:
            for number in numbers:
                state["jobs"][number].update(state=word, exit=code, end=int(time.time()))


def condition(jobs: dict[str, dict[str, Any]], job: dict[str, Any]) -> bool | None:
    """Whether a job's dependency is met; None: it never will be."""
    text = job["dependency"]
    if not text:
        return True
    parts = [_one(jobs, job, part) for part in re.split(r"[?,]", text)]
    if "?" in text:
        return True if True in parts else (None if all(part is None for part in parts) else False)
    return None if None in parts else all(parts)


def _one(jobs: dict[str, dict[str, Any]], job: dict[str, Any], part: str) -> bool | None:
    kind, *numbers = part.split(":")
    if kind == "aftercorr":
        return _succeeded([jobs[f"{numbers[0]}_{job['id'].partition('_')[2]}"]])
    wanted = [other for other in jobs.values() if other["id"] in numbers or other["base"] in numbers]
    if kind == "afterok":
        return _succeeded(wanted)
    if kind == "afternotok":
        if any(other["state"] == "COMPLETED" for other in wanted):
            return None
        return all(other["state"] in ENDED for other in wanted)
    assert kind == "afterany", kind
    return all(other["state"] in ENDED for other in wanted)


def _succeeded(wanted: list[dict[str, Any]]) -> bool | None:
    if any(other["state"] in ENDED - {"COMPLETED"} for other in wanted):
        return None
    return all(other["state"] == "COMPLETED" for other in wanted)


def install(folder: Path, monkeypatch: Any) -> FakeSlurm:
    """A pretended cluster whose commands are found first, from no job and without pauses between tries."""
    fake = FakeSlurm(folder)
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM_FOLDER", str(folder))
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("bench.launching.slurm.commands.PAUSE_S", 0.0)
    monkeypatch.setattr("bench.launching.slurm.sbatch.PAUSE_S", 0.0)
    return fake
