"""The keys of a cluster profile: what each may be, and what it means."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

Fits = Callable[[Any], bool]


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of a TOML table."""

    fits: Fits
    allowed: str
    """What its value must be, after "it must be"."""
    meaning: str


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\n" not in value


def _whole(least: int, most: int | None = None) -> Fits:
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= (most or value)

    return fits


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(_text(item) for item in value)


def _one_of(*names: str) -> Fits:
    return lambda value: value in names


def _table(fits: Fits) -> Fits:
    return lambda value: isinstance(value, Mapping) and all(fits(item) for item in value.values())


def _flag(value: Any) -> bool:
    return value is True or _text(value) or _whole(0)(value)


def _time(value: Any) -> bool:
    return isinstance(value, str)  # its form is checked by minutes_of, which says more


_WORD = "a text"
_TIME = 'a text such as "2-00:00:00" (days-hours:minutes:seconds) or "36:00:00"'

KEYS: Final[dict[str, Key]] = {
    "summary": Key(fits=_text, allowed=_WORD, meaning="one line on the cluster, for people"),
    "partition": Key(fits=_text, allowed=_WORD, meaning="partition, or several separated by commas; none: the default"),
    "account": Key(fits=_text, allowed=_WORD, meaning="account that is charged"),
    "qos": Key(fits=_text, allowed=_WORD, meaning="quality of service"),
    "constraint": Key(fits=_text, allowed=_WORD, meaning='features that a node must have, such as "a100&ib"'),
    "exclude": Key(fits=_text, allowed=_WORD, meaning="nodes that are never used"),
    "gpus_per_node": Key(
        fits=_whole(1, 64),
        allowed="a whole number from 1 to 64",
        meaning="GPUs of one node; a training job takes so many, with one rank for each",
    ),
    "gpu_request": Key(
        fits=_one_of("gres", "gpus-per-node", "none"),
        allowed="'gres', 'gpus-per-node' or 'none'",
        meaning="how GPUs are asked for: --gres=gpu:N, --gpus-per-node=N, or not at all (whole nodes)",
    ),
    "gpu_type": Key(fits=_text, allowed=_WORD, meaning='type in the request: "a100" gives --gres=gpu:a100:N'),
    "gpu_memory_gib": Key(
        fits=_positive,
        allowed="a number greater than 0",
        meaning="memory of one GPU; runs that are estimated not to fit are refused. Not given: nothing is refused",
    ),
    "device": Key(fits=_one_of("cuda", "cpu"), allowed="'cuda' or 'cpu'", meaning="what the ranks compute on"),
    "cpus_per_gpu": Key(
        fits=_whole(1, 1024), allowed="a whole number from 1 to 1024", meaning="CPU cores of each rank, for its loaders"
    ),
    "memory_gib_per_node": Key(
        fits=_positive, allowed="a number greater than 0", meaning="main memory of a training job on each node"
    ),
    "time_limit": Key(
        fits=_time,
        allowed=_TIME,
        meaning="limit of one life of a job; a run that takes longer goes on in its next life",
    ),
    "signal_before_end_s": Key(
        fits=_whole(20, 3600),
        allowed="a whole number from 20 to 3600",
        meaning="so long before its limit a job is told to save and stop (SLURM may tell it a minute earlier)",
    ),
    "requeue": Key(
        fits=_truth,
        allowed="true or false",
        meaning="whether jobs may put themselves back into the queue; false: each training is a chain of jobs",
    ),
    "chain_links": Key(
        fits=_whole(1, 100),
        allowed="a whole number from 1 to 100",
        meaning="jobs of such a chain: its lives in all. Each starts only if all before it did not finish",
    ),
    "arrays": Key(
        fits=_truth, allowed="true or false", meaning="whether jobs of one kind are submitted together, as an array"
    ),
    "max_array_size": Key(
        fits=_whole(1), allowed="a whole number from 1 on", meaning="elements of an array; not given: SLURM is asked"
    ),
    "max_jobs": Key(
        fits=_whole(1),
        allowed="a whole number from 1 on",
        meaning="our jobs that the queue may hold; the rest is submitted when run again. Not given: no limit",
    ),
    "accounting": Key(
        fits=_one_of("slurmdbd", "none"),
        allowed="'slurmdbd' or 'none'",
        meaning="where ended jobs are looked up; not given: SLURM is asked",
    ),
    "setup": Key(
        fits=_texts,
        allowed='a list of texts such as ["module load cuda"]',
        meaning="lines of bash before the job: module load, conda activate, ...",
    ),
    "python": Key(fits=_text, allowed=_WORD, meaning="interpreter of the jobs; not given: the one that submits"),
    "container": Key(
        fits=_texts,
        allowed='a list of texts such as ["apptainer", "exec", "--nv", "image.sif"]',
        meaning="words put before the interpreter",
    ),
    "srun_args": Key(
        fits=_texts, allowed="a list of texts", meaning="further arguments of srun, such as --container-image=..."
    ),
    "sbatch": Key(
        fits=_table(_flag),
        allowed='a table of sbatch\'s own options such as { mail-type = "FAIL", exclusive = true }',
        meaning="further options of sbatch, by their long names",
    ),
    "environment": Key(
        fits=_table(lambda value: isinstance(value, str)),
        allowed='a table such as { NCCL_SOCKET_IFNAME = "ib0" }',
        meaning="environment variables of every job",
    ),
    "scratch": Key(
        fits=_text,
        allowed="an absolute path; $VARIABLES are replaced",
        meaning="the shared folder that stores must lie in; others are refused",
    ),
    "weights": Key(
        fits=_text,
        allowed="an absolute path; $VARIABLES are replaced",
        meaning="folder of weights files there",
    ),
    "data": Key(
        fits=_table(_text),
        allowed='a table such as { coco_stuff = "/data/coco_stuff" }',
        meaning="folders of data sets on the cluster, by name",
    ),
    "hang_after_s": Key(
        fits=_positive,
        allowed="a number greater than 0",
        meaning="a rank without a step for so long is taken to hang, and ends its job",
    ),
    "evaluation": Key(
        fits=lambda value: isinstance(value, Mapping),
        allowed='a table such as { gpus = 1, time_limit = "02:00:00" }',
        meaning="how evaluation jobs differ",
    ),
}

EVALUATION_KEYS: Final[dict[str, Key]] = {
    "gpus": Key(fits=_whole(1), allowed="a whole number from 1 on", meaning="GPUs of an evaluation, one rank for each"),
    "time_limit": Key(fits=_time, allowed=_TIME, meaning="limit of an evaluation; not given: time_limit"),
    "partition": Key(fits=_text, allowed=_WORD, meaning="partition of evaluations; not given: partition"),
    "qos": Key(fits=_text, allowed=_WORD, meaning="quality of service of evaluations; not given: qos"),
    "memory_gib": Key(
        fits=_positive,
        allowed="a number greater than 0",
        meaning="main memory of an evaluation; not given: its share of memory_gib_per_node",
    ),
}


def fitting(table: Mapping[str, Any], keys: Mapping[str, Key], prefix: str = "") -> tuple[dict[str, Any], list[str]]:
    """The entries of ``table`` that are of the right kind, and what is wrong with the others."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in table.items():
        key = keys.get(name)
        if key is None:
            near = get_close_matches(name, keys, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; allowed are {', '.join(keys)}"
            problems.append(f"{prefix}{name}: unknown key{hint}")
        elif key.fits(value):
            values[name] = value
        else:
            problems.append(f"{prefix}{name}: is {_quoted(value)}; it must be {key.allowed}")
    return values, problems


def _quoted(value: Any) -> str:
    return repr(value) if isinstance(value, (str, int, float, list, dict)) else f"{value} (a {type(value).__name__})"


def minutes_of(text: str) -> int:
    """Whole minutes, rounded up, of a time limit as SLURM writes it.

    ``D-HH[:MM[:SS]]`` or ``HH:MM:SS``. Raises ValueError for anything else; so for ``30:00``, which SLURM takes for 30
    minutes and people for 30 hours.
    """
    match = re.fullmatch(r"(?:(\d+)-(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?|(\d+):(\d{2}):(\d{2}))", text.strip())
    if not match:
        raise ValueError(f'is {text!r}; write days-hours:minutes:seconds, such as "2-00:00:00", or "36:00:00"')
    days, day_hours, day_minutes, day_seconds, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    late = max(day_minutes, day_seconds, minutes, seconds) > 59 or day_hours > 23
    total = ((days * 24 + day_hours + hours) * 60 + day_minutes + minutes) * 60 + day_seconds + seconds
    if late or total == 0:
        raise ValueError(f"is {text!r}; hours go to 23 after days, minutes and seconds to 59, and 0 is no limit")
    return math.ceil(total / 60)


def read_toml(path: Path, error_type: type[ValueError]) -> dict[str, Any]:
    """The table in a TOML file. Raises ``error_type`` where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = [item.name for item in sorted(path.parent.glob("*.toml"))] if path.parent.is_dir() else []
        there = f"; there are {', '.join(near)}" if near else ""
        raise error_type(
            f"{path}: there is no such profile{there}. Copy one of profiles/ and change it; docs/cluster.md tells how"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise error_type(f"{path}: cannot be read as a profile ({error})") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise error_type(f'{path}: not valid TOML: {error}. Texts stand in quotes: partition = "gpu"') from error
