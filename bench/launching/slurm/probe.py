"""The one-minute job of ``cluster check``: each rank writes what it sees, then they try what training needs."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from bench.atomic import write_json
from bench.launching.slurm.commands import SchedulerError, ask
from bench.launching.slurm.worker import job_number, rank_environment, restart_count

REDUCED_MIB = 64
_SIGNAL_WAIT_S = 30.0
_FILES_WAIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Called by submitit on every rank. Everything it finds is a JSON file in ``folder``; it raises nothing."""

    folder: Path
    device: str
    requeue: bool
    paths: tuple[Path, ...] = ()
    """Folders that must be visible on the nodes: data, weights."""

    def __call__(self) -> str:
        """One life of the probe on this rank."""
        heard: list[str] = []

        def hear(number: int, frame: FrameType | None) -> None:
            heard.append(signal.Signals(number).name)

        signal.signal(signal.SIGUSR2, hear)
        signal.signal(signal.SIGTERM, hear)
        os.environ.update(rank_environment(os.environ))
        rank, life = int(os.environ["RANK"]), restart_count(os.environ)
        if life:
            if rank == 0:
                write_json(self.folder / "second-life.json", {"restart": life, "host": socket.gethostname()})
            return "done"
        write_json(self.folder / f"rank-{rank}.json", self._seen())
        self._try("gloo", rank, "cpu", files=True)
        if self.device == "cuda":
            self._try("nccl", rank, "cuda")
        self._signal(rank, heard)
        if rank == 0:
            write_json(self.folder / "first-life.json", {"ended": time.time()})
            if self.requeue:
                self._requeue()
        return "done"

    def _seen(self) -> dict[str, Any]:
        """What this rank sees of machine, GPUs and folders."""
        import torch

        import bench

        count = torch.cuda.device_count()
        return {
            "host": socket.gethostname(),
            "local_rank": int(os.environ["LOCAL_RANK"]),
            "world": int(os.environ["WORLD_SIZE"]),
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "gpus": [torch.cuda.get_device_name(index) for index in range(count)],
            "gpu_gib": [round(torch.cuda.get_device_properties(i).total_memory / 2**30, 1) for i in range(count)],
            "cores": len(os.sched_getaffinity(0)),
            "torch": torch.__version__,
            "python": sys.executable,
            "code": str(Path(bench.__file__).resolve().parents[1]),
            "missing": [str(path) for path in self.paths if not path.is_dir()],
        }

    def _try(self, name: str, rank: int, device: str, *, files: bool = False) -> None:
        """An all-reduce of REDUCED_MIB over all ranks, timed; with ``files`` also each other's files."""
        # gloo and nccl meet one after the other: not at a port that the first has hardly left
        os.environ["MASTER_PORT"] = str(int(os.environ["MASTER_PORT"]) + 1)
        result: dict[str, Any] = {}
        try:
            result = _all_reduce(device)
            if files:
                result["files_s"] = self._wait_for_files(int(os.environ["WORLD_SIZE"]))
        except Exception as error:  # any failure of the network is a finding
            result["error"] = f"rank {rank}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        if rank == 0 or "error" in result:
            write_json(self.folder / f"reduce-{name}-{rank}.json", result)

    def _wait_for_files(self, world: int) -> float | None:
        """Seconds until the files of all ranks were seen from here; None: not within _FILES_WAIT_S."""
        began = time.monotonic()
        while time.monotonic() - began < _FILES_WAIT_S:
            if len(list(self.folder.glob("rank-*.json"))) == world:
                return round(time.monotonic() - began, 3)
            time.sleep(0.1)
        return None

    def _signal(self, rank: int, heard: list[str]) -> None:
        """Rank 0 asks SLURM to send USR2 to all; each rank notes whether it came."""
        began = time.time()
        if rank == 0:
            try:
                ask(["scancel", "--signal=USR2", job_number(os.environ)])
            except SchedulerError as error:
                write_json(self.folder / "signal-error.json", {"error": str(error)})
        while "SIGUSR2" not in heard and time.time() - began < _SIGNAL_WAIT_S:
            time.sleep(0.1)
        came = round(time.time() - began, 2) if "SIGUSR2" in heard else None
        write_json(self.folder / f"signal-{rank}.json", {"after_s": came})

    def _requeue(self) -> None:
        try:
            ask(["scontrol", "requeue", job_number(os.environ)])
            time.sleep(60.0)  # SLURM ends this life
        except SchedulerError as error:
            write_json(self.folder / "requeue-error.json", {"error": str(error)})


def _all_reduce(device: str) -> dict[str, Any]:
    import torch

    from bench.training.distributed import joined_ranks

    with joined_ranks(device) as ranks:
        tensor = torch.full((REDUCED_MIB * 2**18,), float(ranks.rank), device=ranks.device)
        mean = ranks.mean(tensor)
        expected = (ranks.world - 1) / 2
        if abs(float(mean[0]) - expected) > 1e-6:
            raise ValueError(f"the mean over the ranks is {float(mean[0])}, not {expected}")
        ranks.barrier()
        began = time.perf_counter()
        ranks.mean(tensor)
        ranks.barrier()
        seconds = time.perf_counter() - began
        memory = 0.0
        if ranks.device.type == "cuda":
            free, total = torch.cuda.mem_get_info(ranks.device)
            memory = round((total - free) / 2**30, 2)
        return {"seconds": round(seconds, 4), "ranks": ranks.world, "used_gib": memory}
