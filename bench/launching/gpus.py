"""The GPUs of this machine: which are free, and which job has which. Free of torch."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_BUSY_MIB = 1024.0
"""A GPU with more memory taken is in use, also where its processes cannot be seen (from within a container)."""
_TIMEOUT_S = 30.0


class GpuError(ValueError):
    """There are not the GPUs that were asked for; the message says what there is and what to do."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU."""

    id: str
    """As CUDA_VISIBLE_DEVICES takes it."""
    name: str
    """For people, such as ``0``."""
    used_by: str = ""
    """Why it is not free."""


def gpus_here(environment: Mapping[str, str] | None = None) -> list[Gpu]:
    """The GPUs of this machine, busy ones included; where CUDA_VISIBLE_DEVICES is set just those, as they are.

    Empty where there is none, or nvidia-smi is not there to tell.
    """
    variables = os.environ if environment is None else environment
    chosen = variables.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return _chosen(chosen)
    listed = _nvidia_smi("--query-gpu=index,uuid,memory.used")
    busy = {line[0] for line in _nvidia_smi("--query-compute-apps=gpu_uuid,pid") if line}
    found = []
    for index, uuid, used in (line for line in listed if len(line) == 3):
        taken = _mib(used)
        why = "a process computes on it" if uuid in busy else ""
        if not why and taken > _BUSY_MIB:
            why = f"{taken:.0f} MiB of its memory are taken"
        found.append(Gpu(id=uuid, name=index, used_by=why))
    return found


def free_gpus(found: list[Gpu], ranks: int) -> list[Gpu]:
    """Those of ``found`` that are free. Raises GpuError where they are fewer than one job's ``ranks``."""
    free = [gpu for gpu in found if not gpu.used_by]
    if len(free) < ranks:
        used = "; ".join(f"GPU {gpu.name}: {gpu.used_by}" for gpu in found if gpu.used_by)
        raise GpuError(
            f"each training wants {ranks} GPUs, one for each of its ranks, and {len(free)} of this machine's "
            f"{len(found)} are free{f' ({used})' if used else ''}; choose fewer --ranks, name GPUs in "
            f"CUDA_VISIBLE_DEVICES (they are then taken whether in use or not), or compute with --device cpu"
        )
    return free


class GpuPlaces:
    """Places on GPUs: each takes so many jobs at a time, and a job's ranks are on different ones."""

    def __init__(self, gpus: Sequence[Gpu], jobs_per_gpu: int = 1) -> None:
        self.total = len(gpus) * jobs_per_gpu
        self._free = {gpu: jobs_per_gpu for gpu in gpus}

    def take(self, ranks: int) -> tuple[Gpu, ...] | None:
        """``ranks`` different GPUs, the least used ones; None while there are not so many."""
        open_places = sorted((gpu for gpu, free in self._free.items() if free), key=lambda gpu: -self._free[gpu])
        if len(open_places) < ranks:
            return None
        taken = tuple(open_places[:ranks])
        for gpu in taken:
            self._free[gpu] -= 1
        return taken

    def give_back(self, gpus: tuple[Gpu, ...]) -> None:
        """A job that had them has ended."""
        for gpu in gpus:
            self._free[gpu] += 1


def _chosen(text: str) -> list[Gpu]:
    """The devices of a CUDA_VISIBLE_DEVICES; CUDA ignores what follows an invalid one."""
    found: list[Gpu] = []
    for item in (part.strip() for part in text.split(",")):
        if not item or item.startswith("-"):
            break
        found.append(Gpu(id=item, name=item))
    return found


def _nvidia_smi(query: str) -> list[list[str]]:
    """The lines of a query as lists of fields; empty where nvidia-smi is missing or has no driver to ask."""
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines() if line.strip()]


def _mib(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # "[N/A]" on some machines, whose GPUs share the main memory
        return 0.0
