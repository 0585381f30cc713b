"""One job as a file, so that any backend can start it: a process of its own, torchrun, SLURM. Free of torch.

STORE/jobs/<key>/  job.json submissions.jsonl lives.jsonl logs/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.atomic import read_json, write_json
from bench.plain import from_plain, to_plain
from bench.plan import Job
from bench.run_spec import RunSpec
from bench.store import EvaluationSpec, Store

_DEVICES = ("auto", "cpu", "cuda")
_OF_A_JOB = ("kind", "label", "dataset", "seed")


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """How a job is executed; none of it changes a result (but for the number of ranks, in the last bits)."""

    device: str = "auto"
    nodes: int = 1
    ranks_per_node: int = 1
    hang_after_s: float = 1200.0
    """A rank without a step for so long is taken to hang, and ends the job. Longer than the slowest phase between two
    steps: the first step, a score during training, a checkpoint on a slow disk."""
    requeue: bool = True
    """Whether a job that was stopped may put itself back into the scheduler's queue."""
    max_lives: int = 1000
    """How often one submission may start in all."""
    max_idle_lives: int = 20
    """How often in a row it may start without having saved anything new."""

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)!r}; it must be a whole number, at least 1"
            for name in ("nodes", "ranks_per_node", "max_lives", "max_idle_lives")
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1
        ]
        if self.device not in _DEVICES:
            problems.append(f"device is {self.device!r}; allowed are {', '.join(_DEVICES)}")
        if not self.hang_after_s > 0:
            problems.append(f"hang_after_s is {self.hang_after_s}; it must be greater than 0")
        if problems:
            raise ValueError("settings of a job: " + "; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """What ``job.json`` says: what is done, in which store, and how."""

    job: Job
    store: Path
    """Absolute, and the same on every machine that may run the job."""
    settings: JobSettings = JobSettings()

    def __post_init__(self) -> None:
        if not self.store.is_absolute():
            raise ValueError(f"job {self.job.key}: store is {str(self.store)!r}; it must be an absolute path")

    @property
    def ranks(self) -> int:
        """Processes in all."""
        return self.settings.nodes * self.settings.ranks_per_node

    @property
    def folder(self) -> Path:
        """Where the job's files are."""
        return Store(self.store).job_folder(self.job.key)

    @property
    def path(self) -> Path:
        """Where :meth:`write` puts the file."""
        return self.folder / "job.json"

    def write(self) -> Path:
        """Write ``job.json`` (whole or not at all) and return its path."""
        job = self.job
        data = {
            "key": job.key,
            "title": job.title,
            **{name: getattr(job, name) for name in _OF_A_JOB},
            "run": job.run.to_json() if job.run is not None else None,
            "evaluation": to_plain(job.evaluation),
            "store": str(self.store),
            "settings": to_plain(self.settings),
        }
        write_json(self.path, data)
        return self.path

    @classmethod
    def read(cls, path: Path) -> JobFile:
        """The inverse of :meth:`write`. Raises ValueError that names the file and what is wrong with it."""
        try:
            data: Mapping[str, Any] = read_json(path)
        except FileNotFoundError:
            raise ValueError(f"{path}: there is no such job file; submit the job again to write it") from None
        missing = [name for name in ("key", *_OF_A_JOB, "run", "evaluation", "store", "settings") if name not in data]
        if missing:
            raise ValueError(f"{path}: missing field {', '.join(missing)}; submit the job again to write it anew")
        evaluation = data["evaluation"]
        job = Job(
            **{name: data[name] for name in _OF_A_JOB},
            run=RunSpec.from_json(data["run"], f"{path}: run") if data["run"] is not None else None,
            evaluation=from_plain(EvaluationSpec, evaluation, f"{path}: evaluation") if evaluation else None,
        )
        if job.key != data["key"]:
            raise ValueError(
                f"{path}: it is the file of {data['key']}, but its fields give {job.key}; it was edited, or the "
                f"definition of a field has changed since; submit the job again"
            )
        return cls(
            job=job,
            store=Path(data["store"]),
            settings=from_plain(JobSettings, data["settings"], f"{path}: settings"),
        )
