"""The three files of a leaderboard. A file that would not change is not touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.atomic import written_beside
from bench.reporting.leaderboard.csv_file import csv_text, gone, read_lines, with_changes
from bench.reporting.leaderboard.pages import html, markdown
from bench.reporting.leaderboard.ranking import Line, ranked_lines
from bench.reporting.leaderboard.scan import Progress, scan
from bench.store import Store

NAME = "leaderboard"


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """What was written, and what is worth telling."""

    lines: tuple[Line, ...]
    files: tuple[Path, ...]
    changed: tuple[Path, ...]
    """Those of ``files`` whose content is not what it was."""
    gone: tuple[str, ...]
    """Entries of the version before that are no more."""
    problems: tuple[str, ...]
    copies: int


def write_leaderboard(
    stores: Sequence[Store], out: Path, progress: Progress = lambda done, of, what: None
) -> Leaderboard:
    """Write ``leaderboard.csv``, ``.md`` and ``.html`` into the folder ``out``.

    Changes of places count against the ``leaderboard.csv`` that is there. Raises ValueError for a folder that is no
    store, or where that file is another one, before anything is written.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; give a folder (it is made where there is none)")
    before = read_lines(out / f"{NAME}.csv")
    scanned = scan(stores, progress)
    lines = with_changes(ranked_lines(scanned.runs), before)
    texts = {"csv": csv_text(lines), "md": markdown(lines), "html": html(lines)}
    files, changed = [], []
    for ending, text in texts.items():
        path = out / f"{NAME}.{ending}"
        files.append(path)
        if path.is_file() and path.read_bytes() == text.encode():
            continue
        with written_beside(path) as temporary:
            temporary.write_bytes(text.encode())
        changed.append(path)
    return Leaderboard(
        lines=tuple(lines),
        files=tuple(files),
        changed=tuple(changed),
        gone=tuple(gone(lines, before)),
        problems=tuple(scanned.problems),
        copies=scanned.copies,
    )
