"""leaderboard.csv: written so that equal stores give equal bytes, and read again to see how places have moved."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from bench.reporting.leaderboard.ranking import Line
from bench.reporting.leaderboard.schema import MOVING, NAMES

_SIGNIFICANT = 10


def csv_text(lines: Sequence[Line]) -> str:
    """The file's content; numbers with ten significant digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(NAMES)
    writer.writerows(_texts(line) for line in lines)
    return stream.getvalue()


def _texts(line: Line) -> list[str]:
    assert tuple(item.name for item in fields(Line)) == NAMES
    return [_text(getattr(line, name)) for name in NAMES]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.{_SIGNIFICANT}g}"
    return " ".join(value) if isinstance(value, tuple) else " ".join(str(value).split())


def read_lines(path: Path) -> list[dict[str, str]]:
    """The lines of an earlier file by column; none where there is no file.

    Raises ValueError that says what to do where the file is another one.
    """
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        try:
            reader = csv.DictReader(stream)
            header = tuple(reader.fieldnames or ())
            if header == NAMES:
                return list(reader)
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(
                f"{path}: not a CSV file in UTF-8 ({error}); move it away, or give another --out"
            ) from None
    shown = ", ".join(header[:4]) or "nothing"
    raise ValueError(
        f"{path}: its columns are {shown}...; a leaderboard of this version has {', '.join(NAMES[:4])}... "
        "(docs/leaderboard.md): move the file away, or give another --out; places then count as new"
    )


def with_changes(lines: Sequence[Line], before: Sequence[Mapping[str, str]]) -> list[Line]:
    """The lines with how their places moved since ``before``, board by board.

    A board that is as it was keeps what the file says of its changes, so writing twice changes nothing.
    """
    old = _by_board(before)
    new: dict[str, list[Line]] = {}
    for line in lines:
        new.setdefault(line.board, []).append(line)
    told: dict[tuple[str, ...], Line] = {}
    for board, members in new.items():
        earlier = {_key(item): item for item in old.get(board, [])}
        same = len(earlier) == len(members) and all(_still(line, earlier) for line in members)
        for line in members:
            told[_line_key(line)] = _moved(line, earlier.get(_line_key(line)), keep=same)
    return [told[_line_key(line)] for line in lines]


def gone(lines: Sequence[Line], before: Sequence[Mapping[str, str]]) -> list[str]:
    """Entries that ``before`` has and ``lines`` has not, as ``variant (entry) on data set``."""
    there = {(line.board, line.entry) for line in lines}
    names = [
        f"{item['variant']} ({item['entry']}) on {item['dataset']}, {item['protocol']}"
        for item in before
        if (item["board"], item["entry"]) not in there
    ]
    return list(dict.fromkeys(names))


def _by_board(lines: Sequence[Mapping[str, str]]) -> dict[str, list[Mapping[str, str]]]:
    found: dict[str, list[Mapping[str, str]]] = {}
    for line in lines:
        found.setdefault(line["board"], []).append(line)
    return found


def _key(line: Mapping[str, str]) -> tuple[str, ...]:
    return line["board"], line["metric"], line["judged_with"], line["entry"]


def _line_key(line: Line) -> tuple[str, ...]:
    return line.board, line.metric, _text(line.judged_with), line.entry


def _still(line: Line, earlier: Mapping[tuple[str, ...], Mapping[str, str]]) -> bool:
    found = earlier.get(_line_key(line))
    return found is not None and all(found[name] == _text(getattr(line, name)) for name in NAMES if name not in MOVING)


def _moved(line: Line, earlier: Mapping[str, str] | None, *, keep: bool) -> Line:
    if line.rank is None:
        return line
    text = (earlier or {}).get("previous_rank" if keep else "rank", "")
    if not text.isdigit():
        return replace(line, change="new", previous_rank=None)
    previous = int(text)
    change = "same" if line.rank == previous else "up" if line.rank < previous else "down"
    return replace(line, change=change, previous_rank=previous)  # type: ignore[arg-type]
