"""What ``why`` prints: how a job stands, which rank failed first and with what, what its scheduler says, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.lives import Life, lives
from bench.reporting.advice import advice_for
from bench.reporting.failing import Failing, RankFailure, failing, fell_silent_together
from bench.reporting.job_logs import clock, end_text, life_text
from bench.reporting.standing import MOVING, brief_error, duration_text
from bench.reporting.target_standing import TargetStanding, target_standing
from bench.scheduler import Scheduled
from bench.store import LOST_PEER, Store
from bench.targets import Target

_MOST_LIVES = 5
_MOST_OTHERS = 8


def why_text(store: Store, target: Target, heard: Mapping[str, Scheduled] | None = None) -> str:
    """All that is known about why a job does not go on (or does); ``heard`` is what a scheduler said, by job key."""
    stands = target_standing(store, target, heard)
    own_lives = lives(store.job_folder(target.key))
    parts = [_head(store, target, stands)]
    status = stands.status
    if status.note:
        parts.append(f"note: {status.note}")
    running = stands.standing.state in MOVING
    told = failing(store, target, living=running)
    if stands.standing.state == "done":
        parts.append("it has not failed")
    elif told.first is not None:
        parts += _failures(told, stands, running)
    elif stands.standing.state == "failed":
        parts.append(f"error: {status.error or stands.standing.remark}")
    else:
        parts.append(f"it has not failed{f'; {stands.standing.remark}' if stands.standing.remark else ''}")
    said = [] if stands.standing.state == "done" else [*_scheduler(stands.scheduled), *_words(told.words)]
    parts += said
    parts += _lives(own_lives)
    if stands.standing.state not in ("done", "running", "pending", "starting"):
        parts += _advice(store, target, stands, told, said)
    parts += _places(store, target, told)
    return "\n".join(parts)


def _head(store: Store, target: Target, stands: TargetStanding) -> str:
    status, run = stands.status, target.run
    told = [f"{run.name if run is not None and target.kind == 'train' else target.title}: {stands.standing.state}"]
    if status.steps:
        told.append(f"step {status.step}/{status.steps}")
    if target.kind == "train" and run is not None and run.saved_step():
        told.append(f"saved at step {run.saved_step()}")
    if status.host and target.kind == "train":
        told.append(f"attempt {status.attempt}, host {status.host}")
    return ", ".join(told)


def _failures(told: Failing, stands: TargetStanding, running: bool) -> list[str]:
    first = told.first
    assert first is not None
    parts = []
    if running:
        parts.append("an earlier life of it failed:")
    who = _who(first, told.ranks)
    if first.silent:
        parts.append(f"first: {who} fell silent; last sign of life {clock(first.when)}; it left no traceback")
        if stands.status.error and LOST_PEER not in stands.status.error:
            parts.append(f"error: {stands.status.error}")
    else:
        parts.append(f"first: {who}, {clock(first.when)}")
        parts.append(f"error: {first.line}")
    if first.log is not None:
        parts.append(f"log: {first.log}")
    if first.text:
        parts.append(first.text)
    parts += [f"all ranks of {host} fell silent at about the same time" for host in fell_silent_together(told)]
    return parts + _others(told.failures[1:], first)


def _others(others: Sequence[RankFailure], first: RankFailure) -> list[str]:
    """The ranks that failed later; those with the same error, and those without a word, in one line."""
    groups: dict[str, list[RankFailure]] = {}
    for item in others:
        groups.setdefault(brief_error(item.line), []).append(item)
    parts = []
    for items in list(groups.values())[:_MOST_OTHERS]:
        ranks = ", ".join(str(item.rank) for item in items)
        named = f"rank{'s'[: len(items) != 1]} {ranks}"
        if items[0].silent:
            parts.append(f"ended too, without a word: {named}, last sign of life {clock(max(i.when for i in items))}")
            continue
        later = min(item.when for item in items) - first.when
        after = f" {duration_text(later)} later" if later >= 0.5 else ""
        files = ", ".join(str(item.file) for item in items if item.file is not None)
        parts.append(f"failed too: {named}{after}: {brief_error(items[0].line)}{f' ({files})' if files else ''}")
    return parts


def _who(item: RankFailure, ranks: int) -> str:
    rank = f"rank {item.rank} of {ranks}" if ranks > 1 else "its process"
    host = f" on {item.host}" if item.host else ""
    return f"{rank}{host}{f' (process {item.pid})' if item.pid else ''}"


def _scheduler(scheduled: Scheduled | None) -> list[str]:
    if scheduled is None:
        return []
    name = "the local backend" if scheduled.scheduler == "local" else scheduled.scheduler
    if scheduled.state == "ended":
        text = scheduled.ending()
    elif scheduled.state == "unknown":
        text = f"nothing that could be asked here; the job is {scheduled.name}"
    else:
        text = f"{scheduled.state} as {scheduled.name}{f' on {scheduled.node}' if scheduled.node else ''}"
    if scheduled.hopeless:
        text += ", and it can never start"
    more = [text, scheduled.reason, scheduled.advice]
    if scheduled.restarts:
        more.append(f"started again {scheduled.restarts} time{'s'[: scheduled.restarts != 1]}")
    return [f"{name} says: {'; '.join(part for part in more if part)}"]


def _words(words: Sequence[str]) -> list[str]:
    return ["in the log:", *(f"  {line}" for line in words)] if words else []


def _lives(found: Sequence[Life]) -> list[str]:
    if len(found) < 2 and not (found and found[0].end in ("stopped", "cancelled")):
        return []
    shown = found[-_MOST_LIVES:]
    parts = [f"lives{f' (the last {len(shown)} of {len(found)})' if len(found) > len(shown) else ''}:"]
    for life in shown:
        parts.append(f"  {life_text(life)}")
        if life.end:
            parts.append(f"    {end_text(life)}")
    return parts


def _advice(store: Store, target: Target, stands: TargetStanding, told: Failing, said: Sequence[str]) -> list[str]:
    first = told.first
    evidence = [stands.standing.remark, *said]
    if first is not None:
        evidence += [first.line, *(f"all ranks of {host} fell silent" for host in fell_silent_together(told))]
    if stands.status.error and (first is None or first.silent):
        evidence.append(stands.status.error)
    found = advice_for("\n".join(evidence))
    if not found and stands.standing.state in ("failed", "stopped"):
        found = ["run it again"]
    saved = target.run.saved_step() if target.run is not None and target.kind == "train" else 0
    if saved and stands.standing.state != "hopeless":
        found.append(f"it goes on from step {saved}")
    return ["what to do:", *(f"  - {item}" for item in found)] if found else []


def _places(store: Store, target: Target, told: Failing) -> list[str]:
    if target.kind == "evaluate":
        folder = store.evaluation_folder(target.identity)
    elif target.run is not None:
        folder = target.run.path
    else:
        folder = store.job_folder(target.key)
    parts = [f"folder {folder}"]
    logs = store.job_folder(target.key) / "logs"
    if logs.is_dir() and (told.first is None or told.first.log is None):
        parts.append(f"logs {logs}")
    return parts
