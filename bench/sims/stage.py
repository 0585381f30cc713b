"""A stage: a folder of files made from settings and inputs, skipped when these did not change.

``stage.json`` is written last and lists the files with their sizes and hashes. ``working.json`` says for what the
unfinished files in the folder are, so that a killed stage goes on and one with other settings begins anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.atomic import check_write, read_json, remove_unfinished, write_json, written_beside
from bench.data.journal import locked

STAGE_VERSION = 2
"""Raise it with any change to what stages write for the same settings."""
RECORD, WORKING, LOCK = "stage.json", "working.json", ".lock"
Progress = Callable[[int, int, str], None]
"""Called with (done, of, what)."""
Arrays = dict[str, NDArray[Any]]


class StageError(ValueError):
    """A stage that cannot run as asked; the message says which stage comes first, or what to change."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a stage is made of."""

    name: str
    """The verb that makes it, such as ``retrieve``."""
    folder: Path
    settings: Mapping[str, Any]
    """What was asked for; JSON values."""
    inputs: Mapping[str, str]
    """Identities of what it reads."""
    growing: tuple[str, ...] = field(default=())
    """Settings that may change without what is done so far being lost (steps of a training)."""

    def identity(self, *, leave_out: tuple[str, ...] = ()) -> str:
        """Hexadecimal hash of the stage's name, settings and inputs."""
        settings = {key: value for key, value in self.settings.items() if key not in leave_out}
        described = {"version": STAGE_VERSION, "stage": self.name, "settings": settings, "inputs": dict(self.inputs)}
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Record:
    """A finished stage."""

    folder: Path
    identity: str
    content: str
    """Hash over the hashes of its files: what the stages after it depend on."""
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Contents of what it was made from."""
    notes: Mapping[str, Any]
    """What is worth telling: counts, seconds, scores."""


def read_record(folder: Path, made_by: str) -> Record:
    """The finished stage in ``folder``. Raises StageError naming the verb ``made_by`` where there is none."""
    if not (folder / RECORD).is_file():
        begun = " (it was begun: the same command goes on)" if (folder / WORKING).is_file() else ""
        raise StageError(
            f"{folder}: nothing finished there{begun}; run `./run_study.py sims {made_by}` first, with the same --work"
        )
    data = read_json(folder / RECORD)
    gone = _changed(folder, data)
    if gone:
        shown = ", ".join(gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
        raise StageError(
            f"{folder}: {shown} missing or of another size than written; run `./run_study.py sims {made_by}` again"
        )
    return Record(
        folder=folder,
        identity=data["identity"],
        content=data["content"],
        settings=data["settings"],
        inputs=data["inputs"],
        notes=data["notes"],
    )


def check_made_from(record: Record, what: str, source: Record, made_by: str) -> None:
    """Raises StageError where ``record`` was made from another ``what`` than the one that is there now."""
    if record.inputs[what] != source.content:
        raise StageError(
            f"{record.folder}: was made from another {what} than {source.folder} has now; run "
            f"`./run_study.py sims {made_by}` again, with the same --work"
        )


def run_stage(
    stage: Stage,
    work: Callable[[], Mapping[str, Any]],
    *,
    again: bool = False,
    waiting: Callable[[], None] = lambda: None,
) -> tuple[Record, bool]:
    """The stage, made by ``work`` unless it is there already; returns it and whether it had to be made.

    ``work`` writes into ``stage.folder`` and returns notes. What another stage identity left in the folder is removed
    first, what the same one left is for ``work`` to go on from. One process at a time.
    """
    stage.folder.mkdir(parents=True, exist_ok=True)
    with locked(stage.folder / LOCK, waiting=waiting):
        identity = stage.identity()
        if not again and (stage.folder / RECORD).is_file():
            try:
                found = read_record(stage.folder, stage.name)
            except StageError:
                found = None
            if found is not None and found.identity == identity:
                return found, False
        _prepare(stage, again)
        begun = time.monotonic()
        notes = {**work(), "seconds": round(time.monotonic() - begun, 2)}
        files = {}
        for path in sorted(stage.folder.rglob("*")):
            if path.is_file() and path.name not in (RECORD, WORKING, LOCK):
                name = path.relative_to(stage.folder).as_posix()
                files[name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        content = hashlib.sha256(
            "".join(f"{name} {kept['sha256']}\n" for name, kept in files.items() if not _is_log(name)).encode()
        ).hexdigest()
        record = {
            "stage": stage.name,
            "version": STAGE_VERSION,
            "identity": identity,
            "content": content,
            "settings": dict(stage.settings),
            "inputs": dict(stage.inputs),
            "notes": notes,
            "files": files,
        }
        write_json(stage.folder / RECORD, record)
    return read_record(stage.folder, stage.name), True


def _is_log(name: str) -> bool:
    return name.endswith(".jsonl") or name.startswith("checkpoints/")


def _prepare(stage: Stage, again: bool) -> None:
    """Leave in the folder only what this stage may go on from."""
    base = stage.identity(leave_out=stage.growing)
    working = stage.folder / WORKING
    if (stage.folder / RECORD).is_file():
        for name in _changed(stage.folder, read_json(stage.folder / RECORD)):
            (stage.folder / name).unlink(missing_ok=True)
        (stage.folder / RECORD).unlink()
    remove_unfinished(stage.folder)
    if again or not working.is_file() or read_json(working).get("identity") != base:
        for path in stage.folder.iterdir():
            if path.name != LOCK:
                check_write(path)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_json(working, {"identity": base})


def _changed(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Files of a finished stage that are missing or of another size than written."""
    return [
        name
        for name, kept in record["files"].items()
        if not (folder / name).is_file() or (folder / name).stat().st_size != kept["bytes"]
    ]


def file_sha256(path: Path) -> str:
    """Hexadecimal hash of the file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as an .npz file that appears whole or not at all."""
    with written_beside(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file. Raises StageError that names it where it cannot be read."""
    try:
        with np.load(path) as opened:
            return dict(opened)
    except (ValueError, EOFError, KeyError) as error:
        raise StageError(f"{path}: cannot be read ({error}); run its stage again with --again") from error


def in_parts(
    path: Path,
    count: int,
    part: Callable[[range], Arrays],
    *,
    per: int,
    what: str,
    progress: Progress,
) -> Arrays:
    """Arrays of ``count`` items, joined from parts of ``per`` items, and written to ``path``.

    A part that was written before is not made again, so a killed stage loses one part at most.
    """
    if path.is_file():
        return load_arrays(path)
    folder = path.with_suffix(".parts")
    parts = []
    for start in range(0, count, per):
        items = range(start, min(start + per, count))
        place = folder / f"{start:08d}.npz"
        if not place.is_file():
            save_arrays(place, part(items))
        parts.append(load_arrays(place))
        progress(items.stop, count, f"{items.stop:,} of {count:,} {what}")
    joined = {key: np.concatenate([each[key] for each in parts]) for key in parts[0]}
    save_arrays(path, joined)
    shutil.rmtree(folder)
    return joined
