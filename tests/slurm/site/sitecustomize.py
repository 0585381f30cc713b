"""Found by every Python of a drill's job (PYTHONPATH): slows the real trainer down, traces its steps, and breaks it.

Nothing of this is in the product. The variables, all optional:

    DRILL_TRACE   file that gets a line "job.restart rank step" when a step begins
    DRILL_SLOW_S  seconds that every step takes longer, in the first DRILL_SLOW_LIVES (1) starts of the job
    DRILL_FAULT   "raise:STEP:RANK", "kill:STEP:RANK" or "hang:STEP:RANK"
    DRILL_ONCE    file that the fault makes, so that it comes once
    DRILL_SLOW_IMAGES_S  seconds that every eight generated images take longer, in the first starts
"""

import importlib.abc
import importlib.util
import os
import signal
import sys
import time


def hang_here():
    while True:
        time.sleep(1)


def fault_at(step, rank):
    kind, at_step, at_rank = os.environ.get("DRILL_FAULT", "::").split(":")
    if (str(step), str(rank)) != (at_step, at_rank):
        return
    try:
        os.close(os.open(os.environ["DRILL_ONCE"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if kind == "raise":
        raise ValueError("a drill broke this rank")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    hang_here()


def pause_of(variable):
    slow = restarts() < int(os.environ.get("DRILL_SLOW_LIVES", "1"))
    return float(os.environ.get(variable, "0")) if slow else 0.0


def restarts():
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def slower_images(generate_images):
    def wrapped(*arguments, **others):
        time.sleep(pause_of("DRILL_SLOW_IMAGES_S"))
        return generate_images(*arguments, **others)

    return wrapped


def disturbed(batches):
    def wrapped(dataset, settings, ranks, *, first_step, **others):
        life = f"{os.environ.get('SLURM_JOB_ID')}.{restarts()}"
        pause = pause_of("DRILL_SLOW_S")
        parts = batches(dataset, settings, ranks, first_step=first_step, **others)
        for step, part in enumerate(parts, start=first_step + 1):
            if "DRILL_TRACE" in os.environ:
                with open(os.environ["DRILL_TRACE"], "a") as stream:
                    stream.write(f"{life} {ranks.rank} {step}\n")
            time.sleep(pause)
            fault_at(step, ranks.rank)
            yield part

    return wrapped


CHANGES = {
    "bench.training.trainer": ("batches", disturbed),
    "bench.evaluation.generate": ("generate_images", slower_images),
}


class Finder(importlib.abc.MetaPathFinder):
    """Changes these modules as they are imported."""

    def find_spec(self, name, path, target=None):
        if name not in CHANGES:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        sys.meta_path.insert(0, self)
        function, change = CHANGES.pop(name)
        execute = spec.loader.exec_module

        def changed(module):
            execute(module)
            setattr(module, function, change(getattr(module, function)))

        spec.loader.exec_module = changed
        return spec


if any(name.startswith("DRILL_") for name in os.environ):
    sys.meta_path.insert(0, Finder())
