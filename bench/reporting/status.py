"""What ``status`` and ``plan`` print. Free of pandas, numpy and matplotlib: they answer at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from bench.plan import Action, Job, Verb, job_state, study_jobs
from bench.store import RunStatus, Store
from bench.study import Study

_TAIL_BYTES = 65_536
_STATE_STYLES = {"pending": "dim", "running": "cyan", "failed": "red", "done": "green"}
_VERB_STYLES = {
    Verb.SUBMIT: "green",
    Verb.RESUME: "cyan",
    Verb.SKIP: "dim",
    Verb.RETRY: "yellow",
    Verb.CANCEL: "red",
    Verb.WAIT: "dim",
}


@dataclass(frozen=True, kw_only=True)
class StatusLine:
    """One job of a study and how far it is."""

    job: Job
    status: RunStatus
    score: str = ""
    """The latest mIoU: of the evaluation, or during training with its step."""


def status_lines(study: Study, store: Store) -> list[StatusLine]:
    """One line for every job of the study, in the order of execution."""
    return [
        StatusLine(job=job, status=job_state(store, job).status, score=_score(job, store)) for job in study_jobs(study)
    ]


def _score(job: Job, store: Store) -> str:
    if job.evaluation is not None:
        evaluation = store.evaluation(job.evaluation.eval_id)
        score = evaluation.scores.get("mIoU") if evaluation else None
        if score is None:
            return ""
        return f"mIoU {score.value:.1f}" if score.value is not None else f"mIoU n/a ({score.reason})"
    assert job.run is not None
    last = _last_score(store.run(job.run).metrics_file)
    return f"mIoU {last[1]:.1f} at step {last[0]}" if last else ""


def _last_score(path: Path) -> tuple[int, float] | None:
    """Step and value of the last ``score/mIoU`` in the end of a metrics file (the whole may be long)."""
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - _TAIL_BYTES))
        lines = stream.read().decode("utf-8", errors="replace").splitlines()
    for line in reversed(lines):
        if '"score/mIoU"' not in line:
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # the line that is being written, or the cut first one
            continue
        return int(row["step"]), float(row["score/mIoU"])
    return None


def duration_text(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 04 h``."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"


def status_table(lines: Sequence[StatusLine], title: str = "") -> RichTable:
    """One line a job: state, steps, speed, time left, latest score, host and, for failed ones, the error."""
    table = RichTable(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    several = len({line.job.dataset for line in lines}) > 1
    for name in ("job", "row", *(("data set",) if several else ()), "seed"):
        table.add_column(name, justify="right" if name == "seed" else "left")
    table.add_column("state")
    for name in ("step", "%", "images/s", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("score", "host", "try", "error"):
        table.add_column(name, overflow="fold")
    for line in lines:
        job, status = line.job, line.status
        table.add_row(
            job.kind,
            Text(job.label),
            *((Text(job.dataset),) if several else ()),
            "" if job.seed is None else str(job.seed),
            Text(status.state, style=_STATE_STYLES[status.state]),
            *_progress(status),
            Text(line.score),
            Text(status.host),
            str(status.attempt) if status.host else "",
            Text(status.error.splitlines()[0] if status.error else "", style="red"),
        )
    return table


def _progress(status: RunStatus) -> tuple[str, str, str, str]:
    if not status.steps:
        return "", "", "", ""
    running = status.state == "running"
    return (
        f"{status.step}/{status.steps}",
        f"{100 * status.fraction:.0f}",
        f"{status.images_per_s:.1f}" if status.images_per_s is not None else "",
        duration_text(status.eta_s) if running and status.eta_s is not None else "",
    )


def plan_table(actions: Iterable[Action], title: str = "") -> RichTable:
    """One line an action: verb, job and the reason."""
    table = RichTable(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("verb", "job", "reason"):
        table.add_column(name, overflow="fold")
    for action in actions:
        style = _VERB_STYLES[action.verb]
        table.add_row(Text(action.verb.value, style=style), Text(action.job.title), Text(action.reason, style="dim"))
    return table
