"""SLURM's commands without SLURM: what sbatch, squeue, sacct, scontrol and scancel answer, from one state file.

Installed under these names by :class:`tests.launching.slurm.fake.FakeSlurm`. Stands alone (standard library only), so
that a call takes milliseconds; it then answers as slowly as the state's ``delay_s`` says.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("FAKE_SLURM_FOLDER", "."))
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED"}
FORMAT = {"i": "id", "T": "state", "r": "reason", "N": "node", "e": "end", "j": "name", "F": "base"}
FIELDS = {"JobID": "id", "State": "state", "ExitCode": "exit", "NodeList": "node", "Start": "start", "End": "end"}


def elements_of(text: str) -> list[int]:
    """The element numbers of ``0-3,7%2``."""
    found: list[int] = []
    for part in text.partition("%")[0].split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def sbatch(state: dict[str, Any], arguments: list[str]) -> int:
    """Take a job, or refuse it, or take it and lose the answer, as the state says."""
    if state["refuse"]:
        print(f"sbatch: error: {state['refuse'].pop(0)}", file=sys.stderr)
        return 1
    script = Path(arguments[-1]).read_text(encoding="utf-8")
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, flags=re.MULTILINE))
    options = {name: value.strip("'") for name, value in options.items()}
    elements: list[Any] = elements_of(options["array"]) if "array" in options else [None]
    waiting = sum(1 for job in state["jobs"].values() if job["state"] not in ENDED)
    if state["max_jobs"] and waiting + len(elements) > state["max_jobs"]:
        print("sbatch: error: QOSMaxSubmitJobPerUserLimit", file=sys.stderr)
        print("sbatch: error: Batch job submission failed: Job violates accounting/QOS policy", file=sys.stderr)
        return 1
    if elements[-1] is not None and elements[-1] >= state["max_array_size"]:
        print("sbatch: error: Batch job submission failed: Invalid job array specification", file=sys.stderr)
        return 1
    base = str(state["next"])
    state["next"] += 1
    for element in elements:
        number = base if element is None else f"{base}_{element}"
        state["jobs"][number] = {
            "id": number,
            "base": base,
            "name": options["job-name"],
            "state": "PENDING",
            "reason": "Dependency" if "dependency" in options else "Priority",
            "node": "",
            "start": "Unknown",
            "end": "Unknown",
            "exit": "0:0",
            "dependency": options.get("dependency", ""),
            "limit": int(options.get("array", "").partition("%")[2] or 0),
            "lives": [],
            "steps": [],
        }
    if state["lose_answers"]:
        state["lose_answers"] -= 1
        print("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", file=sys.stderr)
        return 1
    print(f"Submitted batch job {base}")
    return 0


def squeue(state: dict[str, Any], arguments: list[str]) -> int:
    """Lines of the jobs that the controller still knows."""
    form = arguments[arguments.index("-o") + 1]
    name = arguments[arguments.index("-n") + 1] if "-n" in arguments else None
    for job in state["jobs"].values():
        if job.get("forgotten") or (name is not None and job["name"] != name):
            continue
        told = {letter: job[field] for letter, field in FORMAT.items()}
        print(re.sub(r"%(\w)", lambda match, told=told: str(told[match.group(1)]), form))  # type: ignore[misc]
    return 0


def sacct(state: dict[str, Any], arguments: list[str]) -> int:
    """Lines of every life of the jobs asked for, with their steps."""
    if not state["accounting"]:
        print("Slurm accounting storage is disabled", file=sys.stderr)
        return 1
    names = arguments[arguments.index("--name") + 1].split(",") if "--name" in arguments else None
    bases = set(arguments[arguments.index("-j") + 1].split(",")) if "-j" in arguments else set()
    fields = arguments[arguments.index("-o") + 1].split(",")
    for job in state["jobs"].values():
        if job["name"] not in names if names is not None else job["base"] not in bases:
            continue
        for life in [*job["lives"], job]:
            told = {**{field: life.get(key, job[key]) for field, key in FIELDS.items()}, "JobName": job["name"]}
            print("|".join(str(told[field]) for field in fields))
            for step, word, code in life.get("steps", []):
                step_told = {**told, "JobID": f"{job['id']}.{step}", "State": word, "ExitCode": code, "JobName": step}
                print("|".join(str(step_told[field]) for field in fields))
    return 0


def scontrol(state: dict[str, Any], arguments: list[str]) -> int:
    """``show config`` only."""
    assert arguments == ["show", "config"], arguments
    storage = "slurmdbd" if state["accounting"] else "none"
    print("Configuration data as of now")
    print(f"AccountingStorageType   = accounting_storage/{storage}\nClusterName             = {state['cluster']}")
    print(f"MaxArraySize            = {state['max_array_size']}\nSLURM_VERSION           = 22.05.8")
    return 0


def scancel(state: dict[str, Any], arguments: list[str]) -> int:
    """End jobs, or all elements of an array."""
    for number in arguments:
        for job in state["jobs"].values():
            if number in (job["id"], job["base"]) and job["state"] not in ENDED:
                job.update(state="CANCELLED", reason="None", end=int(time.time()))
    return 0


def main() -> int:
    """One call: note it, wait as long as a busy controller would take, answer."""
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    with (FOLDER / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = FOLDER / "state.json"
        state = json.loads(path.read_text(encoding="utf-8"))
        with (FOLDER / "calls.jsonl").open("a", encoding="utf-8") as calls:
            calls.write(json.dumps([name, *arguments]) + "\n")
        time.sleep(state["delay_s"])
        if state["away"]:
            print("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", file=sys.stderr)
            return 1
        commands = {"sbatch": sbatch, "squeue": squeue, "sacct": sacct, "scontrol": scontrol, "scancel": scancel}
        status = commands[name](state, arguments)
        if name in ("sbatch", "scancel"):
            path.write_text(json.dumps(state), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
