"""What is asked of SLURM for a job: sbatch's parameters, and the lines of its script. Pure but for the environment."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.launching.profile import ClusterProfile
from bench.launching.slurm.worker import guarded_python
from bench.launching.snapshot import Snapshot, frozen_environment


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Nodes and GPUs of a training job; its ranks are their product."""

    nodes: int = 1
    gpus_per_node: int = 8

    def __post_init__(self) -> None:
        for name in ("nodes", "gpus_per_node"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")

    @property
    def ranks(self) -> int:
        """Processes of the job: one for each GPU."""
        return self.nodes * self.gpus_per_node


def shape_of(kind: Literal["train", "evaluate"], profile: ClusterProfile, training: Shape) -> Shape:
    """The shape of a job of that kind."""
    return training if kind == "train" else Shape(nodes=1, gpus_per_node=profile.evaluation.gpus)


def sbatch_parameters(
    kind: Literal["train", "evaluate"], profile: ClusterProfile, training: Shape, *, name: str, dependency: str = ""
) -> dict[str, Any]:
    """Parameters of submitit's SLURM executor for a job of that kind (without array and set-up lines)."""
    evaluation = profile.evaluation
    judging = kind == "evaluate"
    shape = shape_of(kind, profile, training)
    memory = profile.memory_gib_per_node
    if judging:
        share = memory * evaluation.gpus / profile.gpus_per_node if memory is not None else None
        memory = evaluation.memory_gib if evaluation.memory_gib is not None else share
    typed = f"{profile.gpu_type}:" if profile.gpu_type else ""
    further: dict[str, Any] = {"requeue" if profile.requeue else "no-requeue": True, **profile.sbatch}
    if dependency:
        further["kill-on-invalid-dep"] = "yes"
    wanted = {
        "job_name": name,
        "partition": (evaluation.partition if judging else None) or profile.partition,
        "qos": (evaluation.qos if judging else None) or profile.qos,
        "account": profile.account,
        "constraint": profile.constraint,
        "exclude": profile.exclude,
        "time": profile.evaluation_minutes if judging else profile.minutes,
        "nodes": shape.nodes,
        "ntasks_per_node": shape.gpus_per_node,
        "cpus_per_task": profile.cpus_per_gpu,
        "mem": f"{round(memory * 1024)}M" if memory is not None else None,
        "gres": f"gpu:{typed}{shape.gpus_per_node}" if profile.gpu_request == "gres" else None,
        "gpus_per_node": f"{typed}{shape.gpus_per_node}" if profile.gpu_request == "gpus-per-node" else None,
        "signal_delay_s": profile.signal_before_end_s,
        "dependency": dependency or None,
        "stderr_to_stdout": True,
        "wckey": None,
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={profile.cpus_per_gpu}", *profile.srun_args],
        "additional_parameters": further,
    }
    return {key: value for key, value in wanted.items() if value is not None or key == "wckey"}


def setup_lines(profile: ClusterProfile, snapshot: Snapshot, task_file: Path) -> list[str]:
    """Lines of bash before the job: the profile's own, its environment, the frozen code, the task.

    ``task_file`` gets the name that submitit looks for, which has the job's number, by the job itself: a process that
    died right after ``sbatch`` cannot do it.
    """
    ours = {name: value for name, value in os.environ.items() if name.startswith("SPADE_BENCH_")}
    variables = frozen_environment(snapshot, {**ours, **profile.variables()})
    exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
    number = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
    submitted = f'{shlex.quote(str(task_file.parent))}/"{number}"_submitted.pkl'
    return [
        *profile.setup,
        *exports,
        "export SLURM_EXPORT_ENV=ALL",  # where sites set it to NONE, srun's ranks would have nothing of the above
        f"cd {shlex.quote(str(snapshot.folder))} || exit 1",
        f"[ -e {submitted} ] || ln -s {shlex.quote(str(task_file))} {submitted}",
    ]


def interpreter(profile: ClusterProfile) -> str:
    """The command that starts Python, as a shell writes it; deaf to notices to stop until the job listens."""
    python = profile.python if profile.python is not None else sys.executable
    return guarded_python(shlex.join([*profile.container, python]))
