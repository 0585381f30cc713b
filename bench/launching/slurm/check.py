"""``cluster check``: a probe through the same submission as every job, and a verdict on each thing that jobs need."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bench.atomic import read_json
from bench.job_records import new_token
from bench.launching.profile import ClusterProfile, expanded
from bench.launching.slurm.backend import check_place, facts_for
from bench.launching.slurm.commands import ClusterFacts, SchedulerError, ask, cancel, outside_any_job
from bench.launching.slurm.probe import REDUCED_MIB, Probe
from bench.launching.slurm.query import ACCOUNT_FIELDS, QUEUE_FORMAT, QueueRow, parse_accounts, parse_queue
from bench.launching.slurm.sbatch import Script, call_sbatch
from bench.launching.slurm.script import Shape, sbatch_parameters
from bench.launching.slurm.states import PENDING, RUNNING, advice_for, told_reason
from bench.launching.snapshot import Snapshot, take_snapshot
from bench.store import Store

_LOOK_EVERY_S = 2.0
_ACCOUNTED_WAIT_S = 20.0
Level = Literal["ok", "note", "FAIL"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One thing that was tried."""

    level: Level
    what: str
    found: str
    remedy: str = ""


@dataclass(kw_only=True)
class Probing:
    """The probe while it is in SLURM's hands, and afterwards."""

    number: str
    name: str
    folder: Path
    began: float
    started_s: float | None = None
    """Seconds until it ran."""
    ended: str = ""
    """SLURM's word once it has ended."""
    reason: str = ""
    """Why it is pending."""
    gave_up: str = ""
    """Why nobody waited for its end."""


def check_cluster(
    profile: ClusterProfile,
    store: Store,
    shape: Shape,
    *,
    timeout_s: float = 600.0,
    tell: Callable[[str], None] = lambda text: None,
    snapshot: Snapshot | None = None,
) -> list[Verdict]:
    """Submit the probe, wait for it, and judge what it wrote; the probe is cancelled where it is not waited for.

    ``tell`` hears what is going on. Raises ProfileError or SchedulerError where not even submitting works.
    """
    check_place(store, profile)
    facts = facts_for(profile)
    tell(f"cluster {facts.name}, SLURM {facts.version}")
    token = new_token()
    folder = store.job_folder(f"probe-{token}").absolute()
    paths = tuple(expanded(path) for path in (*profile.data.values(), *([profile.weights] if profile.weights else [])))
    probe = Probe(folder=folder / "seen", device=profile.device, requeue=profile.requeue, paths=paths)
    name = f"spade-probe-{token}"
    short = replace(profile, time_limit="00:10:00", signal_before_end_s=min(profile.signal_before_end_s, 60))
    parameters = sbatch_parameters("train", short, shape, name=name)
    frozen = snapshot or take_snapshot(store)
    (folder / "seen").mkdir(parents=True)
    with outside_any_job():
        script = Script(name=name, folder=folder / "logs", token=token, parameters=parameters)
        number = call_sbatch(probe, script, profile, frozen)
    probing = Probing(number=number, name=name, folder=folder, began=time.time())
    tell(f"submitted as job {number}")
    try:
        _wait(probing, profile, timeout_s, tell)
    finally:
        if not probing.ended:
            cancel([number])
    verdicts = list(_verdicts(probing, profile, shape, facts, frozen))
    if not any(verdict.level == "FAIL" for verdict in verdicts):
        shutil.rmtree(folder, ignore_errors=True)
    return verdicts


def _wait(probing: Probing, profile: ClusterProfile, timeout_s: float, tell: Callable[[str], None]) -> None:
    """Until the probe has ended, can never start, or the time is over."""
    told = ""
    while time.time() - probing.began < timeout_s:
        row = _row(probing)
        text = _stage(probing, row)
        if text != told:
            tell(text)
            told = text
        if row is None or (row.word not in PENDING and row.word not in RUNNING):
            probing.ended = row.word if row is not None else "ENDED"
            return
        if row.word in RUNNING and probing.started_s is None:
            probing.started_s = time.time() - probing.began
        probing.reason = told_reason(row.reason)
        advice = advice_for(row.reason) if row.word in PENDING else None
        if advice is not None:
            probing.gave_up = f"it can never start ({probing.reason}): {advice}"
            return
        time.sleep(_LOOK_EVERY_S)
    probing.gave_up = f"still {told} after {timeout_s:.0f} s"


def _row(probing: Probing) -> QueueRow | None:
    rows = parse_queue(ask(["squeue", "-h", "-r", "-t", "all", "-n", probing.name, "-o", QUEUE_FORMAT]))
    return rows[0] if rows else None


def _stage(probing: Probing, row: QueueRow | None) -> str:
    if row is None:
        return "ended"
    again = (probing.folder / "seen" / "first-life.json").is_file()
    if row.word in PENDING:
        return f"{'requeued, ' if again else ''}pending ({told_reason(row.reason) or 'no reason told'})"
    if row.word in RUNNING:
        return f"{'requeueing is tried, ' if again else ''}running on {row.node}"
    return row.word.lower()


def _verdicts(
    probing: Probing, profile: ClusterProfile, shape: Shape, facts: ClusterFacts, snapshot: Snapshot
) -> Iterator[Verdict]:
    """What works, in the order in which things can go wrong."""
    yield Verdict(level="ok", what="submission", found=f"sbatch took the probe as job {probing.number}")
    seen = probing.folder / "seen"
    ranks = {int(path.stem.partition("-")[2]): read_json(path) for path in seen.glob("rank-*.json")}
    log = _log(probing)
    if not ranks:
        found = probing.gave_up or f"it ended ({probing.ended}) before any rank wrote a word here"
        remedy = "see the reason, and `scontrol show partition`" if probing.gave_up else log
        yield Verdict(level="FAIL", what="start", found=found, remedy=remedy)
        return
    if probing.started_s is not None:
        yield Verdict(level="ok", what="start", found=f"within {probing.started_s:.0f} s")
    yield from _nodes(ranks, profile, shape, snapshot, log)
    yield from _reduce(seen, profile, log)
    yield from _signals(seen, shape, profile)
    yield from _requeue(seen, probing, profile)
    if probing.gave_up:
        yield Verdict(level="FAIL", what="end", found=probing.gave_up, remedy=log)
    yield _accounting(probing, facts)


def _nodes(
    ranks: dict[int, dict[str, Any]], profile: ClusterProfile, shape: Shape, snapshot: Snapshot, log: str
) -> Iterator[Verdict]:
    hosts = sorted({found["host"] for found in ranks.values()})
    complete = len(ranks) == shape.ranks and len(hosts) == shape.nodes
    yield Verdict(
        level="ok" if complete else "FAIL",
        what="nodes and ranks",
        found=f"{len(ranks)} of {shape.ranks} ranks wrote into the store, from {', '.join(hosts)}",
        remedy="" if complete else f"is {snapshot.folder.parents[1]} on a file system that all nodes share? {log}",
    )
    first = ranks[min(ranks)]
    if profile.device == "cuda":
        fewest = min(len(found["gpus"]) for found in ranks.values())
        enough = fewest >= shape.gpus_per_node
        names = ", ".join(sorted({name for found in ranks.values() for name in found["gpus"]})) or "none"
        yield Verdict(
            level="ok" if enough else "FAIL",
            what="GPUs",
            found=f"each rank sees {fewest} ({names}); torch {first['torch']}, CUDA_VISIBLE_DEVICES={first['visible']}",
            remedy=""
            if enough
            else f"{shape.gpus_per_node} are needed: look at gpu_request, gpu_type and srun_args (no --gpus-per-task: "
            f"ranks choose their GPU themselves), and whether torch was installed for this driver",
        )
        sizes = [size for found in ranks.values() for size in found["gpu_gib"]]
        if sizes and profile.gpu_memory_gib is not None and min(sizes) < profile.gpu_memory_gib * 0.95:
            yield Verdict(
                level="note",
                what="GPU memory",
                found=f"{min(sizes):g} GiB, the profile says {profile.gpu_memory_gib:g}",
                remedy=f"set gpu_memory_gib = {min(sizes):g}",
            )
    else:
        yield Verdict(level="note", what="GPUs", found='not tried: the profile has device = "cpu"')
    cores = min(found["cores"] for found in ranks.values())
    if cores < profile.cpus_per_gpu:
        remedy = "the site binds ranks to fewer cores: look at srun_args"
        found = f"{cores} for each rank, cpus_per_gpu is {profile.cpus_per_gpu}"
        yield Verdict(level="note", what="cores", found=found, remedy=remedy)
    elsewhere = sorted({found["code"] for found in ranks.values()} - {str(snapshot.folder.resolve())})
    yield Verdict(
        level="FAIL" if elsewhere else "ok",
        what="code",
        found=f"runs from {', '.join(elsewhere) or 'the frozen copy'}",
        remedy="a line of setup changes PYTHONPATH or the folder after us" if elsewhere else "",
    )
    missing = sorted({path for found in ranks.values() for path in found["missing"]})
    if missing:
        remedy = "mount them there, or correct data and weights in the profile"
        yield Verdict(level="FAIL", what="data", found=f"not on the nodes: {', '.join(missing)}", remedy=remedy)
    elif profile.data or profile.weights:
        yield Verdict(level="ok", what="data", found="the folders of data and weights are there on every node")


def _reduce(seen: Path, profile: ClusterProfile, log: str) -> Iterator[Verdict]:
    for name in ("gloo", *(["nccl"] if profile.device == "cuda" else [])):
        results = [read_json(path) for path in sorted(seen.glob(f"reduce-{name}-*.json"))]
        errors = [result["error"] for result in results if "error" in result]
        if errors or not results:
            hint = "a firewall between nodes, or the wrong network: environment = { NCCL_SOCKET_IFNAME = ..., "
            hint += "GLOO_SOCKET_IFNAME = ... }"
            found = "; ".join(errors[:3]) or "no rank came to it"
            yield Verdict(level="FAIL", what=f"all-reduce, {name}", found=found, remedy=f"{hint}. {log}")
            continue
        rate = REDUCED_MIB / 1024 / max(results[0]["seconds"], 1e-9)
        found = f"{REDUCED_MIB} MiB over {results[0]['ranks']} ranks in {1000 * results[0]['seconds']:.0f} ms "
        yield Verdict(level="ok", what=f"all-reduce, {name}", found=f"{found}({rate:.1f} GiB/s)")
        if "files_s" in results[0]:
            late = results[0]["files_s"] is None
            yield Verdict(
                level="FAIL" if late else "ok",
                what="shared file system",
                found="rank 0 did not see the files of the others within 30 s"
                if late
                else f"rank 0 saw the files of all ranks after {results[0]['files_s']:.1f} s, and so do we",
                remedy="the store must lie on a file system that all nodes share (--store)" if late else "",
            )


def _signals(seen: Path, shape: Shape, profile: ClusterProfile) -> Iterator[Verdict]:
    came = [read_json(path)["after_s"] for path in seen.glob("signal-*.json") if path.stem != "signal-error"]
    heard = [after for after in came if after is not None]
    if len(heard) == shape.ranks:
        yield Verdict(
            level="ok", what="signals", found=f"USR2 reached all {shape.ranks} ranks within {max(heard):.1f} s"
        )
        return
    refused = read_json(seen / "signal-error.json")["error"] if (seen / "signal-error.json").is_file() else ""
    yield Verdict(
        level="FAIL",
        what="signals",
        found=refused or f"USR2 reached {len(heard)} of {shape.ranks} ranks",
        remedy="without it a job cannot save before its time limit, and falls back to its last checkpoint; a container "
        "that does not pass signals on is a common cause" + (f" ({profile.container[0]})" if profile.container else ""),
    )


def _requeue(seen: Path, probing: Probing, profile: ClusterProfile) -> Iterator[Verdict]:
    if not profile.requeue:
        found = f"not tried: requeue = false, a training is a chain of {profile.chain_links} jobs"
        yield Verdict(level="note", what="requeue", found=found)
        return
    second = seen / "second-life.json"
    if second.is_file():
        first = read_json(seen / "first-life.json")["ended"]
        after = second.stat().st_mtime - first
        yield Verdict(level="ok", what="requeue", found=f"put back into the queue, it ran again after {after:.0f} s")
        return
    error = read_json(seen / "requeue-error.json")["error"] if (seen / "requeue-error.json").is_file() else ""
    yield Verdict(
        level="FAIL",
        what="requeue",
        found=error.splitlines()[0] if error else probing.gave_up or f"no second life was seen ({probing.ended})",
        remedy="set requeue = false in the profile: trainings are then chains of jobs",
    )


def _accounting(probing: Probing, facts: ClusterFacts) -> Verdict:
    if not facts.accounting:
        found = "none: ended jobs are looked up with squeue while it knows them, then in the store"
        return Verdict(level="note", what="accounting", found=found)
    deadline = time.time() + _ACCOUNTED_WAIT_S
    while time.time() < deadline:
        try:
            told = parse_accounts(ask(["sacct", "-n", "-P", "-D", "-j", probing.number, "-o", ACCOUNT_FIELDS]))
        except SchedulerError as error:
            remedy = 'set accounting = "none" in the profile'
            return Verdict(level="FAIL", what="accounting", found=str(error).splitlines()[0], remedy=remedy)
        lives = [life for life in told if life.id == probing.number]
        if lives:
            words = ", ".join(life.word for life in lives)
            return Verdict(level="ok", what="accounting", found=f"sacct knows the probe's lives: {words}")
        time.sleep(1.0)
    found = f"sacct does not know job {probing.number} after {_ACCOUNTED_WAIT_S:.0f} s"
    return Verdict(level="note", what="accounting", found=found, remedy="it may lag behind; squeue is asked first")


def _log(probing: Probing) -> str:
    """The last line of the first rank's log, and where it is."""
    files = sorted((probing.folder / "logs").glob("*_0_log.out"))
    if not files:
        return f"there is no log in {probing.folder / 'logs'}: can the node write there?"
    lines = [line for line in files[-1].read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"log {files[-1]}: {lines[-1][:200] if lines else '(empty)'}"
