"""What a user means by a run or a job on the command line. Free of torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.atomic import read_json
from bench.plan import Job, study_jobs, training_key
from bench.store import RunFolder, Store
from bench.study import Study

_NO_JOBS = ("local-", "array-", ".")
"""How folders in STORE/jobs begin that are of no single job."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One job of a store, which need not have begun."""

    key: str
    """As :attr:`bench.plan.Job.key`."""
    kind: Literal["train", "evaluate"]
    title: str
    run: RunFolder | None
    """What is trained, or whose images are judged; None where that is not known, and for the real images."""

    @property
    def identity(self) -> str:
        """The run_id, or the eval_id."""
        return self.key.partition("-")[2]


def find_target(store: Store, text: str) -> Target:
    """The one job that ``text`` names: a run's name or enough of it (its run_id, say), or a job's key.

    A run's name means its training. Raises ValueError that lists what there is when none or several match.
    """
    trainings = {training_key(_run_id(folder)): folder for folder in store.runs()}
    names = {key: folder.name for key, folder in trainings.items()}
    for key in _job_keys(store):
        names.setdefault(key, key)
    matching = {key: name for key, name in names.items() if text in name or text in key}
    exact = {key: name for key, name in matching.items() if text in (name, key, key.partition("-")[2])}
    found = exact or matching
    if len(found) != 1:
        what = "several runs match" if found else "no run matches"
        listed = "\n  ".join(sorted((found or names).values())) or "(the store is empty)"
        raise ValueError(f"{what} {text!r} in {store.root}:\n  {listed}")
    (key,) = found
    return _target(store, key, trainings.get(key))


def evaluations_of(store: Store, run_id: str) -> list[Target]:
    """The evaluations of a run that were handed over, or that a study of the store asks for."""
    keys = [
        key
        for key in _job_keys(store)
        if key.startswith("evaluate-") and _described(store, key)["run"].get("run_id") == run_id
    ]
    for job in _kept_jobs(store):
        if job.kind == "evaluate" and job.run is not None and job.run.run_id == run_id:
            keys.append(job.key)
    return [_target(store, key, None) for key in dict.fromkeys(keys)]


def _kept_jobs(store: Store) -> Iterator[Job]:
    """The jobs of the studies that the store keeps, as far as today's variants can tell them."""
    for path in sorted((store.root / "studies").glob("*.json")):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            yield from study_jobs(Study.from_json(read_json(path), str(path)))


def _run_id(folder: RunFolder) -> str:
    return folder.name.rpartition("-")[2]


def _target(store: Store, key: str, run: RunFolder | None) -> Target:
    told = _described(store, key)
    spec = told.get("run") or {}
    if run is None and spec:
        run = next((folder for folder in store.runs() if _run_id(folder) == spec.get("run_id")), None)
    kind: Literal["train", "evaluate"] = "train" if key.startswith("train-") else "evaluate"
    title = told.get("title") or (f"{kind} {run.name}" if run is not None else key)
    return Target(key=key, kind=kind, title=title, run=run)


def _job_keys(store: Store) -> list[str]:
    """Every job that has a folder, and every evaluation that has begun."""
    found: dict[str, None] = {}
    for folder, prefix in ((store.job_folder(""), ""), (store.evaluation_folder(""), "evaluate-")):
        if folder.is_dir():
            names = sorted(path.name for path in folder.iterdir() if not path.name.startswith(_NO_JOBS))
            found |= {f"{prefix}{name}": None for name in names}
    return list(found)


def _described(store: Store, key: str) -> dict[str, Any]:
    """What ``job.json`` says; empty where the job was never handed over."""
    path: Path = store.job_folder(key) / "job.json"
    data: dict[str, Any] = read_json(path) if path.is_file() else {}
    return {**data, "run": data.get("run") or {}}
