"""A cluster profile: all that differs from one SLURM cluster to the next, in one TOML file. Free of torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from bench.launching.profile_keys import EVALUATION_KEYS, KEYS, fitting, minutes_of, read_toml

_SET_BY_US: Final = {
    **{name: name.replace("-", "_") for name in ("partition", "account", "qos", "constraint", "exclude")},
    **{name: "gpus_per_node (or --nodes, --gpus-per-node)" for name in ("nodes", "ntasks", "ntasks-per-node")},
    **{name: "gpus_per_node, gpu_request and gpu_type" for name in ("gres", "gpus", "gpus-per-node", "gpus-per-task")},
    **{name: "memory_gib_per_node" for name in ("mem", "mem-per-cpu", "mem-per-gpu")},
    **{name: "cpus_per_gpu" for name in ("cpus-per-task", "cpus-per-gpu")},
    **{name: "requeue" for name in ("requeue", "no-requeue")},
    **{name: "nothing: it is set for each job" for name in ("job-name", "output", "error", "open-mode", "chdir")},
    **{name: "nothing: it is set for each job" for name in ("dependency", "kill-on-invalid-dep", "parsable", "wait")},
    "time": "time_limit",
    "signal": "signal_before_end_s",
    "array": "arrays, max_array_size (and --max-running)",
    "export": "environment",
}
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS: Final = re.compile(r"(SLURM|SBATCH|SRUN|SUBMITIT)_.*|PYTHONPATH|RANK|WORLD_SIZE|LOCAL_RANK|MASTER_(ADDR|PORT)")


class ProfileError(ValueError):
    """A profile file is wrong; the message lists everything, with what is allowed and what to do."""


@dataclass(frozen=True, kw_only=True)
class EvaluationJobs:
    """How evaluation jobs differ from training jobs; what is None is as it is for those."""

    gpus: int = 1
    """GPUs, and so ranks, of one evaluation, on one node."""
    time_limit: str | None = None
    partition: str | None = None
    qos: str | None = None
    memory_gib: float | None = None
    """Of the node; None: the training job's share for so many GPUs."""

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise ProfileError(f"evaluation.gpus: is {self.gpus}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class ClusterProfile:
    """One cluster, as one group uses it. Every key is told by :data:`bench.launching.profile_keys.KEYS`."""

    name: str
    """The file's name without ``.toml``."""
    summary: str = ""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    gpus_per_node: int = 8
    gpu_request: Literal["gres", "gpus-per-node", "none"] = "gres"
    gpu_type: str | None = None
    gpu_memory_gib: float | None = None
    device: Literal["cuda", "cpu"] = "cuda"
    cpus_per_gpu: int = 4
    memory_gib_per_node: float | None = None
    time_limit: str = "1-00:00:00"
    signal_before_end_s: int = 180
    requeue: bool = True
    chain_links: int = 6
    arrays: bool = True
    max_array_size: int | None = None
    max_jobs: int | None = None
    accounting: Literal["slurmdbd", "none"] | None = None
    setup: tuple[str, ...] = ()
    python: str | None = None
    container: tuple[str, ...] = ()
    srun_args: tuple[str, ...] = ()
    sbatch: Mapping[str, str | int | bool] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    scratch: str | None = None
    weights: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    hang_after_s: float = 1200.0
    evaluation: EvaluationJobs = EvaluationJobs()

    def __post_init__(self) -> None:
        problems = [*self._resource_problems(), *self._queue_problems(), *self._path_problems()]
        if problems:
            raise ProfileError("\n".join(f"profile {self.name}: {problem}" for problem in problems))

    def _resource_problems(self) -> list[str]:
        problems = []
        if self.gpu_type and self.gpu_request == "none":
            problems.append("gpu_type: is given but gpu_request is 'none'; leave gpu_type out, or choose 'gres'")
        if self.evaluation.gpus > self.gpus_per_node:
            problems.append(
                f"evaluation.gpus: {self.evaluation.gpus} are more than gpus_per_node = {self.gpus_per_node}; an "
                f"evaluation runs on one node"
            )
        for name, value in (("time_limit", self.time_limit), ("evaluation.time_limit", self.evaluation.time_limit)):
            try:
                minutes = minutes_of(value) if value is not None else None
            except ValueError as error:
                problems.append(f"{name}: {error}")
                continue
            if minutes is not None and self.signal_before_end_s > minutes * 30:
                problems.append(
                    f"signal_before_end_s: {self.signal_before_end_s} s are more than half of {name} = {value!r}; the "
                    f"job would hardly begin before it is told to end"
                )
        return problems

    def _queue_problems(self) -> list[str]:
        problems = []
        for key in self.sbatch:
            bare = key.lstrip("-").replace("_", "-")
            if bare in _SET_BY_US:
                problems.append(f"sbatch.{key}: use {_SET_BY_US[bare]}")
            elif key != bare:
                problems.append(f"sbatch.{key}: write it as sbatch does, without leading dashes: {bare}")
        for key in self.environment:
            if not _VARIABLE.fullmatch(key):
                problems.append(f"environment.{key}: is no name of a variable; letters, digits and '_'")
            elif _OURS.fullmatch(key):
                problems.append(f"environment.{key}: is set for each job by SLURM or by us; leave it out")
        return problems

    def _path_problems(self) -> list[str]:
        problems = []
        named = {"scratch": self.scratch, "weights": self.weights, **{f"data.{k}": v for k, v in self.data.items()}}
        for key, value in named.items():
            if value is None:
                continue
            path = expanded(value)
            if "$" in str(path):
                problems.append(
                    f"{key}: {value!r} has a variable that is not set here ({path}); set it, or write it out"
                )
            elif not path.is_absolute():
                problems.append(f"{key}: {value!r} is not an absolute path; compute nodes start in another folder")
        return problems

    @property
    def minutes(self) -> int:
        """Time limit of a training job."""
        return minutes_of(self.time_limit)

    @property
    def evaluation_minutes(self) -> int:
        """Time limit of an evaluation."""
        return minutes_of(self.evaluation.time_limit or self.time_limit)

    @property
    def links(self) -> int:
        """Jobs that one training is submitted as: one, or where it may not requeue itself a chain."""
        return 1 if self.requeue else self.chain_links

    def variables(self) -> dict[str, str]:
        """Environment variables of every job: the profile's own, and where data and weights are."""
        from bench.data.registry import root_variable

        found = dict(self.environment)
        if self.weights is not None:
            found["SPADE_BENCH_WEIGHTS"] = str(expanded(self.weights))
        return {**found, **{root_variable(name): str(expanded(path)) for name, path in self.data.items()}}


def expanded(path: str) -> Path:
    """``path`` with ``~`` and ``$VARIABLES`` replaced."""
    return Path(os.path.expandvars(path)).expanduser()


def read_profile(path: Path) -> ClusterProfile:
    """The profile in a TOML file.

    Raises ProfileError that names the file and lists everything wrong with it: unknown keys, values of the wrong
    kind, contradictions.
    """
    values, problems = fitting(read_toml(path, ProfileError), KEYS)
    if isinstance(evaluation := values.get("evaluation"), Mapping):
        inner, wrong = fitting(evaluation, EVALUATION_KEYS, "evaluation.")
        problems += wrong
        values["evaluation"] = EvaluationJobs(**inner)
    for name in ("setup", "container", "srun_args"):
        if name in values:
            values[name] = tuple(values[name])
    problems += _unknown_data(values.get("data", {}))
    try:
        profile = ClusterProfile(name=path.stem, **values)
    except ProfileError as error:
        problems += [line.removeprefix(f"profile {path.stem}: ") for line in str(error).splitlines()]
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise ProfileError(f"{path}: not a cluster profile\n{listed}\n`./run_study.py cluster keys` lists every key")
    return profile


def _unknown_data(data: Mapping[str, str]) -> list[str]:
    from bench.data.registry import dataset_names

    known = dataset_names() if data else ()
    return [
        f"data.{name}: no data set is called so; there are {', '.join(known)}" for name in data if name not in known
    ]


def explained() -> list[tuple[str, str, str]]:
    """(key, default, meaning) of every key of a profile."""
    rows: list[tuple[str, str, str]] = []
    for keys, owner, prefix in ((KEYS, ClusterProfile, ""), (EVALUATION_KEYS, EvaluationJobs, "evaluation.")):
        defaults = {item.name: item.default for item in fields(owner)}
        for name, key in keys.items():
            if name != "evaluation":
                rows.append((f"{prefix}{name}", _shown(defaults[name]), key.meaning))
    return rows


def _shown(default: Any) -> str:
    if default is None or default is MISSING or default in ((), ""):
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)
