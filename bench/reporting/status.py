"""What ``status`` and ``plan`` print. Free of pandas, numpy and matplotlib: they answer at once."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from bench.job_records import JobRecords
from bench.lives import lives
from bench.plan import Action, Job, Verb, job_state, study_jobs
from bench.reporting.garbage import garbage_kept
from bench.reporting.standing import ATTENTION, STANDS, STYLES, Stand, duration_text, standing
from bench.scheduler import Scheduled
from bench.signs import signs
from bench.store import RunStatus, Store
from bench.study import Study

_TAIL_BYTES = 65_536
_REMARK = 160
"""Characters of a remark in the table; `why` and `--json` tell all of it."""
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
    """One job of a study and how it stands."""

    job: Job
    status: RunStatus
    state: Stand
    remark: str = ""
    """Why it is in that state: the reason of pending, the error, what its scheduler says."""
    score: str = ""
    """The latest mIoU: of the evaluation, or during training with its step."""
    done: int = 0
    """Units of work (steps; of an evaluation images, generated and judged) that are done ..."""
    of: int = 0
    """... of so many; 0: not known."""
    left_s: float | None = None
    node: str = ""
    starts: int = 0
    """How often it was started."""
    scheduled: Scheduled | None = None

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(self.starts - 1, 0)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        job, scheduled = self.job, self.scheduled
        return {
            "key": job.key,
            "kind": job.kind,
            "row": job.label,
            "dataset": job.dataset,
            "seed": job.seed,
            "run": job.run.name if job.run is not None else None,
            "state": self.state,
            "remark": self.remark,
            "done": self.done,
            "of": self.of,
            "images_per_s": self.status.images_per_s,
            "left_s": self.left_s,
            "score": self.score,
            "node": self.node,
            "restarts": self.restarts,
            "scheduler": scheduled.scheduler if scheduled is not None else None,
            "scheduled_ids": list(scheduled.numbers) if scheduled is not None else [],
        }


class StatusReader:
    """Reads how the jobs of a study stand, again and again; what is done is read once."""

    def __init__(self, study: Study, store: Store) -> None:
        self.store, self.jobs, self._records = store, study_jobs(study), JobRecords(store)
        self._done: dict[str, StatusLine] = {}

    def lines(self, heard: Mapping[str, Scheduled] | None = None) -> list[StatusLine]:
        """One line for every job, in the order of execution; ``heard`` is what a scheduler said, by job key."""
        found = []
        with garbage_kept():
            for job in self.jobs:
                line = self._done.get(job.key)
                if line is None:
                    line = _line(job, self.store, (heard or {}).get(job.key), self._records)
                    if line.state == "done":
                        self._done[job.key] = line
                found.append(line if line.job is job else replace(line, job=job))
        return found

    def unfinished(self) -> list[str]:
        """Keys of the jobs that are not known to be done."""
        return list(dict.fromkeys(job.key for job in self.jobs if job.key not in self._done))


def status_lines(study: Study, store: Store, heard: Mapping[str, Scheduled] | None = None) -> list[StatusLine]:
    """One line for every job of the study, in the order of execution."""
    return StatusReader(study, store).lines(heard)


def _line(job: Job, store: Store, heard: Scheduled | None, records: JobRecords) -> StatusLine:
    known = job_state(store, job, heard, records)
    status, scheduled = known.status, known.scheduled
    if job.evaluation is not None and status.state == "failed":
        status = replace(status, updated=store.evaluation_error_time(job.evaluation.eval_id))
    now = time.time()
    stands = standing(status, scheduled, now, saved=known.has_checkpoint)
    line = StatusLine(
        job=job,
        status=status,
        state=stands.state,
        remark=stands.remark,
        score=_score(job, store, status),
        done=status.step,
        of=status.steps,
        left_s=status.eta_s if stands.state == "running" else None,
        node=_node(status, scheduled),
        starts=_starts(job, store, status, scheduled),
        scheduled=scheduled,
    )
    if job.kind == "evaluate" and stands.state == "running":
        return _with_images(line, store, now)
    return line


def _with_images(line: StatusLine, store: Store, now: float) -> StatusLine:
    """An evaluation with what its first rank says of itself."""
    first = next((sign for sign in signs(store.job_folder(line.job.key)) if sign.rank == 0 and sign.of), None)
    if first is None:
        return line
    left_s = (now - first.began) / first.done * (first.of - first.done) if first.done else None
    return replace(line, done=first.done, of=first.of, left_s=left_s)


def _node(status: RunStatus, scheduled: Scheduled | None) -> str:
    if scheduled is not None and scheduled.node and scheduled.state != "unknown":
        return scheduled.node
    return status.host


def _starts(job: Job, store: Store, status: RunStatus, scheduled: Scheduled | None) -> int:
    counted = status.attempt if status.host and job.kind == "train" else 0
    if scheduled is not None:
        counted = max(counted, len(lives(store.job_folder(job.key))))
        counted = max(counted, scheduled.restarts + 1 if scheduled.restarts else 0)
    return counted


def _score(job: Job, store: Store, status: RunStatus) -> str:
    if job.evaluation is not None:
        score = store.score(job.evaluation.eval_id, "mIoU") if status.state == "done" else None
        if score is None:
            return ""
        return f"mIoU {score.value:.1f}" if score.value is not None else f"mIoU n/a ({score.reason})"
    assert job.run is not None
    last = _last_score(store.run(job.run).metrics_file)
    return f"mIoU {last[1]:.1f} at step {last[0]}" if last else ""


def _last_score(path: Path) -> tuple[int, float] | None:
    """Step and value of the last ``score/mIoU`` in the end of a metrics file (the whole may be long)."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            text = stream.read()
    except FileNotFoundError:
        return None
    if b'"score/mIoU"' not in text:
        return None
    for line in reversed(text.decode("utf-8", errors="replace").splitlines()):
        if '"score/mIoU"' not in line:
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # the line that is being written, or the cut first one
            continue
        return int(row["step"]), float(row["score/mIoU"])
    return None


def counts_text(lines: Sequence[StatusLine]) -> str:
    """Such as ``12 jobs: 1 failed, 2 running, 9 done; 71 % of all steps``."""
    counts = Counter(line.state for line in lines)
    told = ", ".join(f"{counts[state]} {state}" for state in STANDS if counts[state])
    text = f"{len(lines)} job{'s'[: len(lines) != 1]}: {told}" if lines else "no jobs"
    share = steps_share(lines)
    return f"{text}; {100 * share:.0f} % of all steps" if share is not None else text


def steps_share(lines: Iterable[StatusLine]) -> float | None:
    """The share of the steps of all trainings that is done, 0 to 1; None without trainings."""
    done = total = 0
    for line in {line.job.key: line for line in lines if line.job.kind == "train"}.values():
        assert line.job.run is not None
        steps = line.job.run.training.steps
        total += steps
        done += steps if line.state == "done" else line.done
    return done / total if total else None


_COLUMNS = ("step", "%", "images/s", "left", "score", "node", "restarts", "remark")
_NUMBERS = ("step", "%", "images/s", "left", "restarts")


def status_table(lines: Sequence[StatusLine], title: str = "") -> RichTable:
    """One line a job: state, steps, speed, time left, latest score, node, restarts and why it is so.

    Columns that would be empty are left out.
    """
    table = RichTable(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    several = len({line.job.dataset for line in lines}) > 1
    for name in ("job", "row", *(("data set",) if several else ()), "seed"):
        table.add_column(name, justify="right" if name == "seed" else "left")
    table.add_column("state", no_wrap=True)
    rows = [_cells(line) for line in lines]
    shown = [name for name in _COLUMNS if any(cells[name] for cells in rows)]
    for name in shown:
        number = name in _NUMBERS
        table.add_column(name, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for line, cells in zip(lines, rows, strict=True):
        job, style = line.job, STYLES[line.state]
        remark_style = style if line.state in ATTENTION else ""
        table.add_row(
            job.kind,
            Text(job.label),
            *((Text(job.dataset),) if several else ()),
            "" if job.seed is None else str(job.seed),
            Text(line.state, style=style),
            *(Text(cells[name], style=remark_style if name == "remark" else "") for name in shown),
        )
    return table


def _cells(line: StatusLine) -> dict[str, str]:
    rate = line.status.images_per_s if line.of else None
    return {
        "step": f"{line.done}/{line.of}" if line.of else "",
        "%": f"{100 * line.done / line.of:.0f}" if line.of else "",
        "images/s": f"{rate:.1f}" if rate is not None else "",
        "left": duration_text(line.left_s) if line.left_s is not None else "",
        "score": line.score,
        "node": line.node,
        "restarts": str(line.restarts) if line.restarts else "",
        "remark": line.remark if len(line.remark) <= _REMARK else f"{line.remark[: _REMARK - 1].rstrip()}…",
    }


def rows_table(lines: Sequence[StatusLine], title: str = "") -> RichTable:
    """Jobs counted: one line for each row and data set, one column for each state that occurs."""
    table = RichTable(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    groups: dict[tuple[str, str], list[StatusLine]] = {}
    for line in lines:
        groups.setdefault((line.job.label, line.job.dataset), []).append(line)
    present = {line.state for line in lines}
    states = [state for state in STANDS if state in present]
    for name in ("row", "data set"):
        table.add_column(name)
    for name in ("jobs", *states, "% of steps"):
        table.add_column(name, justify="right", no_wrap=True)
    for (label, dataset), own in groups.items():
        counts = Counter(line.state for line in own)
        share = steps_share(own)
        cells = [Text(str(counts[state]) if counts[state] else "", style=STYLES[state]) for state in states]
        percent = f"{100 * share:.0f}" if share is not None else ""
        table.add_row(Text(label), Text(dataset), str(len(own)), *cells, percent)
    return table


def plan_table(actions: Iterable[Action], title: str = "") -> RichTable:
    """One line an action: verb, job and the reason."""
    table = RichTable(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("verb", "job", "reason"):
        table.add_column(name, overflow="fold")
    for action in actions:
        style = _VERB_STYLES[action.verb]
        table.add_row(Text(action.verb.value, style=style), Text(action.job.title), Text(action.reason, style="dim"))
    return table
