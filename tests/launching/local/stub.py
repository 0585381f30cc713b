"""What the tests of the local backend start in place of real jobs: processes that do as they are told, in a blink.

Installed as ``bench.launching.execute`` of a project of its own, from which the backend takes its frozen copy.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path("@ROOT@")


def real_modules() -> None:
    """Import the real ``bench`` from here on, not the project that this file is the only one of."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "bench"]:
        del sys.modules[name]
    sys.path[:] = [str(ROOT), *(path for path in sys.path if path not in ("", os.getcwd()))]


def main() -> int:
    """One rank: notes that it began, does what its orders say, notes that it ended."""
    folder = os.getcwd()
    path, token = Path(sys.argv[1]), sys.argv[3]
    real_modules()
    from bench.atomic import read_json
    from bench.launching.job_file import JobFile
    from bench.lives import Start
    from bench.signs import sign_of_life

    file = JobFile.read(path)
    rank = int(os.environ.get("RANK", "0"))
    orders: dict[str, Any] = read_json(Path(os.environ["STUB_ORDERS"]))
    mine = next((orders[name] for name in orders if name in file.job.title), {})
    if isinstance(mine, list):
        mine = mine[rank]
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    with sign_of_life(file.folder, Start(submission=token)):
        begin(file, rank)
        note("began", file.job.title, rank, folder)
        print(f"{file.job.title}: life 1 on stub", flush=True)
        status = act(file, mine, rank, stopped)
        note("ended", file.job.title, rank, folder)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return status


def begin(file: Any, rank: int) -> None:
    """A training on its way, with a checkpoint."""
    from bench.store import Store

    if file.job.kind == "train" and rank == 0:
        run = Store(file.store).run(file.job.run)
        run.create(file.job.run)
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        (run.checkpoints / "step_00000001.pt").write_text("1")
        run.write_status(state="running", step=1, steps=2, images_per_s=3.5, eta_s=60.0)


def act(file: Any, orders: dict[str, Any], rank: int, stopped: list[int]) -> int:
    """``s`` seconds of work, or ``until`` another job has begun; ``do``: finish, fail, kill, stop (only when asked) or
    linger (never)."""
    from bench.store import Store

    store, job = Store(file.store), file.job
    deadline = time.monotonic() + orders.get("s", 0.0)
    do = orders.get("do", "finish")
    run = store.run(job.run) if job.kind == "train" else None
    until = orders.get("until")
    while time.monotonic() < deadline or do in ("stop", "linger") or (until and not began(until)):
        if stopped and do != "linger":
            if run is not None and rank == 0:
                run.write_status(state="pending", step=1, steps=2, note="stopped by SIGTERM, its state is saved")
            return 75
        time.sleep(0.02)
    if do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "fail":
        text = f"ValueError: as ordered on rank {rank}\nTraceback (most recent call last)\n  as ordered\n"
        if run is not None:
            run.path.mkdir(parents=True, exist_ok=True)
            run.rank_error_file(rank).write_text(text)
            run.write_status(state="failed", step=1, steps=2, error=f"ValueError: as ordered on rank {rank}")
        else:
            store.write_evaluation_error(job.evaluation.eval_id, text)
        return 1
    if rank == 0:
        finish(store, job, run)
    return 0


def finish(store: Any, job: Any, run: Any) -> None:
    """As the trainer and the evaluator do."""
    from bench.store import Evaluation, Score

    if run is not None:
        run.write_status(state="done", step=2, steps=2)
        return
    spec = job.evaluation
    scores = {"mIoU": Score(value=50.0)}
    store.write_evaluation(
        Evaluation(eval_id=spec.eval_id, spec=spec, images=4, step=2, scores=scores, class_iou={}, class_pixels={})
    )


def began(title: str) -> bool:
    """Whether a job has begun."""
    lines = Path(os.environ["STUB_EVENTS"]).read_text(encoding="utf-8").splitlines()
    return any(f'"title": "{title}' in line for line in lines)


def note(event: str, title: str, rank: int, folder: str) -> None:
    """One line for the test."""
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "WORLD_SIZE", "MASTER_PORT", "SPADE_BENCH_DATA_ADE20K")
    told = {name: os.environ.get(name) for name in names}
    line = {"event": event, "title": title, "rank": rank, "time": time.time(), "folder": folder, **told}
    with Path(os.environ["STUB_EVENTS"]).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
