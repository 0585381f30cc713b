"""Which rank of a job failed first, and what the others, the scheduler and the logs say. Reads the store alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.reporting.job_logs import rank_logs, tail_lines
from bench.signs import EVERY_S, Sign, signs
from bench.store import LOST_PEER, Store
from bench.targets import Target

_RANK_OF_FILE = re.compile(r"error-rank(\d+)\.txt")
_RANK_IN_LINE = re.compile(r"^rank \d+: ")
_PEER = re.compile(rf"{re.escape(LOST_PEER)}|it waits for its peers in")
_SRUN = re.compile(r"^srun: error: (?P<host>[^:]+): tasks? (?P<ranks>[\d,-]+): (?P<what>.+)$")
_SCHEDULERS_WORDS = re.compile(r"^(srun|slurmstepd|slurmd|slurm)\b.*(error|Terminating|CANCELLED|oom|Job step)", re.I)
_LIFE = re.compile(r": life (\d+) on ")
_LOG_LINES = 400
_WORDS = 12


@dataclass(frozen=True, kw_only=True)
class RankFailure:
    """How one rank ended that did not come to the end."""

    rank: int
    when: float
    """When it failed, or was last heard of; seconds since the epoch."""
    line: str
    """The error; nothing for a rank that vanished without a word."""
    text: str = ""
    """The traceback."""
    host: str = ""
    pid: int = 0
    file: Path | None = None
    """Of the traceback."""
    log: Path | None = None

    @property
    def silent(self) -> bool:
        """Whether it left no word."""
        return not self.line

    @property
    def because_of_a_peer(self) -> bool:
        """Whether it only saw another one vanish."""
        return bool(_PEER.search(self.line))


@dataclass(frozen=True, kw_only=True)
class Failing:
    """What is known of the last life of a job that did not come to its end."""

    failures: tuple[RankFailure, ...]
    """The first to fail comes first."""
    ranks: int
    words: tuple[str, ...] = ()
    """What the scheduler wrote into the log."""

    @property
    def first(self) -> RankFailure | None:
        """The rank that failed first."""
        return self.failures[0] if self.failures else None


def failing(store: Store, target: Target, *, living: bool = False) -> Failing:
    """How the ranks of the job's last life ended; ``living``: some still run, so none of them counts as silent."""
    own_signs = signs(store.job_folder(target.key))
    by_rank = {sign.rank: sign for sign in own_signs}
    _, logs = rank_logs(store, target.key)
    words = _scheduler_words(logs.get(0, []))
    written = _written(store, target)
    for sign in own_signs:
        if sign.end == "failed" and sign.rank not in written:
            text = _traceback(logs.get(sign.rank, []))
            written[sign.rank] = RankFailure(rank=sign.rank, when=sign.last, line=sign.why, text=text)
    silent = [] if living else [sign for sign in own_signs if not sign.end and sign.rank not in written]
    found = [*written.values(), *(RankFailure(rank=sign.rank, when=sign.last, line="") for sign in silent)]
    placed = [_placed(item, by_rank.get(item.rank), logs.get(item.rank, [])) for item in found]
    ranks = max((sign.ranks for sign in own_signs), default=1)
    return Failing(failures=tuple(_ordered(placed, words)), ranks=max(ranks, len(placed)), words=tuple(words[:_WORDS]))


def _written(store: Store, target: Target) -> dict[int, RankFailure]:
    """The tracebacks in the folder of the run, or of the evaluation."""
    found: dict[int, RankFailure] = {}
    if target.kind == "train":
        files = target.run.error_files() if target.run is not None else []
    else:
        path = store.evaluation_folder(target.identity) / "error.txt"
        files = [path] if path.is_file() else []
    for path in files:
        match = _RANK_OF_FILE.fullmatch(path.name)
        rank = int(match.group(1)) if match else 0
        text = path.read_text(encoding="utf-8", errors="replace").rstrip()
        first, _, rest = text.partition("\n")
        line, body = _RANK_IN_LINE.sub("", first), rest
        if target.kind == "evaluate":
            line, body = store.evaluation_error(target.identity), text
        when = path.stat().st_mtime
        found[rank] = RankFailure(rank=rank, when=when, line=line or "no word of why", text=body, file=path)
    return found


def _placed(item: RankFailure, sign: Sign | None, logs: Sequence[Path]) -> RankFailure:
    return replace(
        item,
        host=sign.host if sign is not None else "",
        pid=sign.pid if sign is not None else 0,
        log=logs[-1] if logs else None,
    )


def _ordered(found: Sequence[RankFailure], words: Sequence[str]) -> list[RankFailure]:
    """Own errors first, then those who vanished, then those who saw others vanish; each by time.

    Of those who vanished the one comes first that srun names first: signs of life are some seconds apart.
    """
    own = any(not item.silent and not item.because_of_a_peer for item in found)
    named = _ranks_by_srun(words)

    def order(item: RankFailure) -> tuple[int, int, float, int]:
        kind = 0
        if item.silent or item.because_of_a_peer:
            kind = 1 if item.silent and not own else 2
        place = named.index(item.rank) if item.silent and item.rank in named else len(named)
        return kind, place, item.when, item.rank

    return sorted(found, key=order)


def _ranks_by_srun(words: Sequence[str]) -> list[int]:
    """Ranks in the order in which srun reported their ends."""
    found: dict[int, None] = {}
    for line in words:
        match = _SRUN.match(line)
        for part in match.group("ranks").split(",") if match else []:
            first, _, last = part.partition("-")
            found |= dict.fromkeys(range(int(first), int(last or first) + 1))
    return list(found)


def _last_life(logs: Sequence[Path]) -> list[str]:
    """The end of a rank's newest log, from where its last life begins."""
    if not logs:
        return []
    lines = tail_lines(logs[-1], _LOG_LINES)
    begins = [number for number, line in enumerate(lines) if _LIFE.search(line)]
    return lines[begins[-1] :] if begins else lines


def _scheduler_words(logs: Sequence[Path]) -> list[str]:
    lines = [line.strip() for line in _last_life(logs)]
    return list(dict.fromkeys(line for line in lines if _SCHEDULERS_WORDS.search(line)))


def _traceback(logs: Sequence[Path]) -> str:
    """The last traceback in a rank's log, or nothing."""
    lines = _last_life(logs)
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if not starts:
        return ""
    end = starts[-1] + 1
    while end < len(lines) and (lines[end].startswith((" ", "\t")) or not lines[end]):
        end += 1
    return "\n".join(lines[starts[-1] : end + 1])


def fell_silent_together(failing: Failing) -> list[str]:
    """Hosts all of whose ranks fell silent at about the same time, where others had more to say.

    Not those from which srun heard how a rank ended: they lived.
    """
    silent = [item for item in failing.failures if item.silent]
    hosts = dict.fromkeys(item.host for item in silent if item.host)
    talking = {item.host for item in failing.failures if not item.silent}
    heard = {match.group("host") for line in failing.words if (match := _SRUN.match(line))}
    found = []
    for host in hosts:
        times = [item.when for item in silent if item.host == host]
        if host not in talking | heard and max(times) - min(times) <= EVERY_S:
            found.append(host)
    return found if talking or len(hosts) > 1 else []
