"""How the submitted jobs stand: one ``squeue`` for all of them, and one ``sacct`` for those that have ended.

What a run's own folder says comes first; this only refines it. Where there is no accounting, ``squeue`` still knows
jobs for a while after their end (MinJobAge), and a job that it has forgotten has ended.
"""

from __future__ import annotations

import getpass
import pwd
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bench.job_records import JobRecords, Submission
from bench.launching.slurm.commands import ClusterFacts, ask, cluster_facts
from bench.launching.slurm.states import (
    PENDING,
    RESTARTED,
    RUNNING,
    advice_for,
    cause_of,
    told_reason,
    word_of,
)
from bench.scheduler import Scheduled

RESTART_WINDOW_S = 600.0
"""A job shown as preempted or lost with its node may still come back within so long."""
QUEUE_FORMAT = "%i|%T|%r|%N|%e|%j"
ACCOUNT_FIELDS = "JobID,State,ExitCode,NodeList,Start,End,JobName"
_IDS_PER_CALL = 2000
_ARRAY = re.compile(r"(\d+)_\[([\d,:-]+)(?:%\d+)?\]")


@dataclass(frozen=True, kw_only=True)
class QueueRow:
    """A job or array element in ``squeue -t all``."""

    id: str
    word: str
    reason: str
    node: str
    end: float | None
    """Seconds since the epoch; None where it is not known."""
    name: str


@dataclass(frozen=True, kw_only=True)
class Life:
    """One start of a job in ``sacct -D``."""

    id: str
    word: str
    exit_code: int | None
    signal: int | None
    node: str
    end: float | None
    name: str
    by: str = ""
    """The user who cancelled it."""
    step_words: tuple[str, ...] = ()
    step_exits: tuple[tuple[int | None, int | None], ...] = ()
    """(exit code, signal) of each step."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the scheduler said."""

    states: dict[str, Scheduled] = field(default_factory=dict)
    """By job key; jobs that were never handed over are absent."""
    in_queue: int = 0
    """Jobs of this user in the queue, of whatever kind."""


def ask_scheduler(
    records: JobRecords,
    keys: Iterable[str],
    facts: ClusterFacts | None = None,
    *,
    settle: bool = False,
    count_queue: bool = False,
) -> Answer:
    """How the jobs ``keys`` stand; nothing is asked where none of them was handed over, unless for ``count_queue``.

    With ``settle`` what was learned is written to the records: numbers of submissions whose process died before it
    wrote them, submissions that never arrived, and ends. Only the process that holds :func:`submitting` may do so.
    Raises SchedulerError where SLURM does not answer.
    """
    handed = {key: item for key, item in records.of(keys).items() if item.scheduler == "SLURM"}
    states = {key: item.scheduled() for key, item in handed.items() if not item.open}
    still = {key: item for key, item in handed.items() if item.open}
    if not still and not count_queue:
        return Answer(states=states)
    facts = facts or cluster_facts()
    here = {key: item for key, item in still.items() if item.cluster in ("", facts.name)}
    for key in still.keys() - here.keys():
        away = f"on cluster {still[key].cluster}, and this is {facts.name}; ask there"
        states[key] = replace(still[key].scheduled(), reason=away)
    users = sorted({item.user for item in here.values()} or {getpass.getuser()})
    queue = parse_queue(ask(["squeue", "-h", "-r", "-t", "all", "-u", ",".join(users), "-o", QUEUE_FORMAT]))
    rows = {row.id: row for row in queue}
    here, lives = _located(records, here, queue, facts, settle=settle)
    for key, item in here.items():
        if item.refused:
            continue
        if not item.ids:
            states[key] = replace(item.scheduled(), reason="it is being handed over, or was lost on the way")
            continue
        state = state_of(item, rows, lives)
        if state.state == "ended" and settle:
            records.ended(key, item.token, state)
        states[key] = state
    waiting = sum(1 for row in queue if row.word in PENDING or row.word in RUNNING)
    return Answer(states=states, in_queue=waiting)


def _located(
    records: JobRecords, items: dict[str, Submission], queue: list[QueueRow], facts: ClusterFacts, *, settle: bool
) -> tuple[dict[str, Submission], dict[str, list[Life]]]:
    """Submissions with the numbers of lost ones found by name, and what accounting says of all that are not live."""
    by_name: dict[str, set[str]] = {}
    for row in queue:
        by_name.setdefault(row.name, set()).add(row.id)
    lost = [item for item in items.values() if item.lost and item.name not in by_name]
    if lost and facts.accounting:
        for life in _accounted(["--name", ",".join(sorted({item.name for item in lost}))], lost):
            by_name.setdefault(life.name, set()).add(life.id)
    found: dict[str, Submission] = {}
    for key, item in items.items():
        found[key] = item
        if not item.lost:
            continue
        ids = _ids_of(item, by_name.get(item.name, set()))
        if ids:
            found[key] = replace(item, ids=ids)
            if settle:
                records.submitted(key, item.token, ids)
        elif settle:
            why = "the submission never reached the scheduler"
            records.refused(key, item.token, why)
            found[key] = replace(item, refused=why)
    live = {row.id for row in queue if row.word in PENDING or row.word in RUNNING}
    ended = [item for item in found.values() if item.ids and not set(item.ids) & live]
    lives: dict[str, list[Life]] = {}
    if ended and facts.accounting:
        bases = sorted({number.partition("_")[0] for item in ended for number in item.ids}, key=int)
        for first in range(0, len(bases), _IDS_PER_CALL):
            for life in _accounted(["-j", ",".join(bases[first : first + _IDS_PER_CALL])], ended):
                lives.setdefault(life.id, []).append(life)
    return found, lives


def _accounted(selection: list[str], items: list[Submission]) -> list[Life]:
    """``sacct`` of some jobs, each of their lives."""
    since = min(item.time for item in items) - 86_400
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since))
    users = ",".join(sorted({item.user for item in items}))
    command = ["sacct", "-n", "-P", "-D", "-S", start, "-u", users, *selection, "-o", ACCOUNT_FIELDS]
    return parse_accounts(ask(command))


def _ids_of(item: Submission, candidates: set[str]) -> tuple[str, ...]:
    """The numbers of a lost submission among those that bear its name."""
    if item.index is None:
        return tuple(sorted((number for number in candidates if "_" not in number), key=int))
    bases = sorted({number.partition("_")[0] for number in candidates}, key=int)
    return (f"{bases[0]}_{item.index}",) if bases else ()


def parse_queue(text: str) -> list[QueueRow]:
    """The lines of ``squeue`` in this module's format; an array that is told in one line becomes its elements."""
    rows = []
    for line in text.splitlines():
        parts = line.split("|", 5)
        if len(parts) < 6:
            continue
        for number in expanded(parts[0].strip()):
            rows.append(
                QueueRow(
                    id=number,
                    word=word_of(parts[1]),
                    reason=parts[2].strip(),
                    node=parts[3].strip(),
                    end=_moment(parts[4]),
                    name=parts[5].strip(),
                )
            )
    return rows


def parse_accounts(text: str) -> list[Life]:
    """The lines of ``sacct -D`` in this module's format, in its order; steps are told to the life above them."""
    lives: list[Life] = []
    newest: dict[str, int] = {}
    for line in text.splitlines():
        parts = line.split("|", 6)
        if len(parts) < 7:
            continue
        number, word, code = parts[0].strip(), word_of(parts[1]), _exit(parts[2])
        if "." in number:
            place = newest.get(number.partition(".")[0])
            if place is not None:
                life = lives[place]
                lives[place] = replace(life, step_words=(*life.step_words, word), step_exits=(*life.step_exits, code))
            continue
        for single in expanded(number):
            newest[single] = len(lives)
            lives.append(
                Life(
                    id=single,
                    word=word,
                    exit_code=code[0],
                    signal=code[1],
                    node=parts[3].strip().replace("None assigned", ""),
                    end=_moment(parts[5]),
                    name=parts[6].strip(),
                    by=_canceller(parts[1]),
                )
            )
    return lives


def _canceller(state: str) -> str:
    """The user of ``CANCELLED by 1000``, by name where this machine knows it."""
    match = re.fullmatch(r"CANCELLED by (\d+)", state.strip())
    if match is None:
        return ""
    try:
        return pwd.getpwuid(int(match.group(1))).pw_name
    except KeyError:
        return f"user {match.group(1)}"


def expanded(number: str) -> list[str]:
    """``12_[3,5-7%2]`` as 12_3, 12_5, 12_6, 12_7; any other number as it is."""
    match = _ARRAY.fullmatch(number)
    if not match:
        return [number]
    elements: list[str] = []
    for part in match.group(2).split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        elements += [str(index) for index in range(int(first), int(last or first) + 1, int(step or 1))]
    return [f"{match.group(1)}_{index}" for index in elements]


def _moment(text: str) -> float | None:
    stripped = text.strip()
    return float(stripped) if stripped.isdigit() else None


def _exit(text: str) -> tuple[int | None, int | None]:
    """(exit code, signal) of ``1:9``; a signal of 0 is none."""
    code, _, number = text.strip().partition(":")
    return (int(code) if code.isdigit() else None), (int(number) if number.isdigit() and int(number) else None)


def state_of(
    item: Submission,
    rows: Mapping[str, QueueRow],
    lives: Mapping[str, list[Life]],
    now: Callable[[], float] = time.time,
) -> Scheduled:
    """One submission's state from what ``squeue`` and ``sacct`` said; of several jobs the one that tells most."""
    each = []
    for number in item.ids:
        row = rows.get(number)
        own_row = row if row is not None and row.name == item.name else None  # numbers may be given out again
        own_lives = [life for life in lives.get(number, []) if life.name == item.name]
        each.append(_state_of_one(number, item, own_row, own_lives, now()))
    for wanted in ("running", "pending"):
        for state in each:
            if state.state == wanted and not state.hopeless:
                return state
    ended = [state for state in each if state.state == "ended" and state.cause != "dependency failed"]
    if ended and len(each) > 1:
        return ended[-1]
    return next((state for state in each if state.hopeless), each[-1])


def _state_of_one(number: str, item: Submission, row: QueueRow | None, lives: list[Life], now: float) -> Scheduled:
    known = replace(item.scheduled(), id=number, restarts=max(0, len(lives) - 1))
    if row is not None and row.word in RUNNING:
        return replace(known, state="running", node=row.node, word=row.word)
    if row is not None and (row.word in PENDING or (row.word in RESTARTED and _may_return(row.end, now))):
        advice = advice_for(row.reason)
        reason = told_reason(row.reason) if row.word in PENDING else f"{cause_of(row.word)}, to be started again"
        return replace(
            known, state="pending", word=row.word, reason=reason, hopeless=advice is not None, advice=advice or ""
        )
    life = lives[-1] if lives else None
    word = row.word if row is not None else (life.word if life is not None else "")
    exits = [code for code in (life.step_exits if life is not None else ()) if code[0] or code[1]]
    code, number_of_signal = (life.exit_code, life.signal) if life is not None else (None, None)
    if exits and not code and not number_of_signal:
        code, number_of_signal = exits[0]
    return replace(
        known,
        state="ended",
        word=word,
        node=(life.node if life is not None else "") or (row.node if row is not None else ""),
        exit_code=code,
        signal=number_of_signal,
        reason=f"by {life.by}" if life is not None and life.by else "",
        cause=cause_of(word, life.step_words if life is not None else (), row.reason if row is not None else ""),
    )


def _may_return(end: float | None, now: float) -> bool:
    return end is None or now - end < RESTART_WINDOW_S
