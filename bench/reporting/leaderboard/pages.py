"""The leaderboard to read: a table for each board, as Markdown and as one HTML file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.reporting.leaderboard.ranking import Line
from bench.reporting.markdown import escape
from bench.reporting.site.view import Note, TableView, ViewCell, ViewColumn, ViewRow
from bench.reporting.text import ONE_SEED, parameters_text

TITLE = "Leaderboard"
RULES = (
    "Entries are ranked only where data set, content of its validation split, image size, number of judged images N, "
    "protocol and the judge's files are the same.",
    "A place is by the mean over seeds; an entry whose 95 % interval over seeds overlaps that of the first one of a "
    f"place shares it (=). {ONE_SEED}: one seed, so no interval: nothing is known about its spread over seeds.",
    "▲ ▼: places won or lost since the board last changed; new: was not there.",
)
_MARKS = {"reconstruction": " †", "extension": " ‡", "external": " ⊕", "unregistered": " ¶"}
_LEGEND = {
    "reconstruction": "† a reconstruction: the paper's text does not define it wholly",
    "extension": "‡ not in the paper",
    "external": "⊕ imported images: who made them vouches for how",
    "unregistered": "¶ a variant that the installation which made this does not know",
}
_ARROWS = {"up": "▲", "down": "▼", "new": "new", "same": "", "": ""}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a board's table: an entry with its line for every metric."""

    first: Line
    """By the metric that orders the board."""
    by_metric: dict[tuple[str, tuple[str, ...]], Line]

    @property
    def label(self) -> str:
        """Name and what distinguishes it."""
        return self.first.variant if self.first.provenance != "real images" else "real images"


@dataclass(frozen=True, kw_only=True)
class Board:
    """What is ranked together."""

    title: str
    contests: tuple[tuple[str, tuple[str, ...]], ...]
    """(metric, files that judged): one column each."""
    entries: tuple[Entry, ...]


def boards(lines: Sequence[Line]) -> list[Board]:
    """The boards in the order of the lines; entries by their place in the first metric that ranks anything."""
    grouped: dict[str, list[Line]] = {}
    for line in lines:
        grouped.setdefault(line.board, []).append(line)
    return [_board(members) for members in grouped.values()]


def _board(lines: Sequence[Line]) -> Board:
    contests = tuple(dict.fromkeys((line.metric, line.judged_with) for line in lines))
    leading = next(
        (contest for contest in contests if any(_in(line, contest) and line.rank for line in lines)), contests[0]
    )
    members: dict[str, dict[tuple[str, tuple[str, ...]], Line]] = {}
    for line in sorted(lines, key=lambda line: not _in(line, leading)):  # stable: the leading metric's places first
        members.setdefault(line.entry, {})[line.metric, line.judged_with] = line
    entries = [
        Entry(first=found.get(leading) or next(iter(found.values())), by_metric=found) for found in members.values()
    ]
    entries.sort(key=lambda entry: entry.first.provenance == "real images")
    first = lines[0]
    size = first.size.replace("x", "×")
    return Board(
        title=f"{first.dataset}, {size} px · {first.protocol} · N = {first.images:,}",
        contests=contests,
        entries=tuple(entries),
    )


def _in(line: Line, contest: tuple[str, tuple[str, ...]]) -> bool:
    return (line.metric, line.judged_with) == contest


def value_text(line: Line | None) -> str:
    """``43.1 ± 0.6``, ``43.1°``, ``n/a`` or nothing."""
    if line is None:
        return ""
    if line.mean is None:
        return "n/a"
    decimals = _decimals(line)
    text = f"{line.mean:.{decimals}f}"
    if line.low is not None and line.high is not None:
        return f"{text} ± {(line.high - line.low) / 2:.{decimals}f}"
    return text + (ONE_SEED if line.n_seeds == 1 else "")


def _decimals(line: Line) -> int:
    if line.metric.startswith("LPIPS"):
        return 3
    return 1 if line.unit == "%" or (line.mean is not None and abs(line.mean) >= 100) else 2


def place_text(line: Line) -> str:
    """``2``, ``2=`` where it is shared, or nothing."""
    return "" if line.rank is None else f"{line.rank}{'=' if (line.tied or 1) > 1 else ''}"


def change_text(line: Line) -> str:
    """``▲2``, ``▼1``, ``new`` or nothing."""
    arrow = _ARROWS[line.change]
    if line.rank is None or line.previous_rank is None or not arrow:
        return arrow
    return f"{arrow}{abs(line.rank - line.previous_rank)}"


def _heading(contest: tuple[str, tuple[str, ...]], board: Board, line: Line) -> str:
    metric, files = contest
    arrow = "↑" if line.higher_is_better else "↓"
    unit = f" {line.unit}" if line.unit not in ("", "%") else ""
    twice = sum(other == metric for other, _ in board.contests) > 1
    return f"{metric}{unit}\u00a0{arrow}" + (f" ({' '.join(files) or 'no files'})" if twice else "")


def _any_line(board: Board, contest: tuple[str, tuple[str, ...]]) -> Line:
    return next(entry.by_metric[contest] for entry in board.entries if contest in entry.by_metric)


def _training(line: Line, *, settings: bool = True) -> str:
    length = f"{line.steps:,} steps of {line.batch_images}" if line.steps is not None else ""
    judged = ", ".join(
        part
        for part in (
            "moving average" if line.weights == "ema" else "",
            "best checkpoint" if line.selection == "best" else "",
        )
        if part
    )
    return "; ".join(part for part in (line.recipe, length, line.settings if settings else "", judged) if part)


def _legend(board: Board) -> list[str]:
    used = {entry.first.provenance for entry in board.entries}
    return [text for provenance, text in _LEGEND.items() if provenance in used]


def markdown(lines: Sequence[Line]) -> str:
    """The whole file."""
    parts = [f"# {TITLE}", "", *(f"- {escape(rule)}" for rule in RULES), ""]
    found = boards(lines)
    if not found:
        parts += ["Nothing has been judged yet.", ""]
    for board in found:
        headings = [escape(_heading(contest, board, _any_line(board, contest))) for contest in board.contests]
        parts += [f"## {escape(board.title)}", ""]
        parts.append("| # | | variant | #param | seeds | " + " | ".join(headings) + " | trained | entry |")
        parts.append("|---:|---|---|---:|---:|" + "---:|" * len(headings) + "---|---|")
        parts += [_markdown_row(board, entry) for entry in board.entries]
        parts += ["", *(f"- {escape(line)}" for line in _legend(board)), "", "Where the numbers come from:", ""]
        parts += [f"- {escape(_origin(entry))}" for entry in board.entries]
        parts.append("")
    return "\n".join(parts)


def _markdown_row(board: Board, entry: Entry) -> str:
    line = entry.first
    values = []
    for contest in board.contests:
        found = entry.by_metric.get(contest)
        text = escape(value_text(found))
        values.append(f"**{text}**" if found is not None and found.rank == 1 else text)
    label = escape(entry.label + _MARKS.get(line.provenance, ""))
    params = parameters_text(line.params) if line.params is not None else ""
    seeds = str(line.n_seeds) if line.n_seeds else ""
    cells = [
        place_text(line),
        change_text(line),
        label,
        params,
        seeds,
        *values,
        escape(_training(line, settings=False)),
        line.entry,
    ]
    return "| " + " | ".join(cells) + " |"


def _origin(entry: Entry) -> str:
    line = entry.first
    parts = [
        line.settings,
        f"runs {' '.join(line.run_ids)}" if line.run_ids else "",
        f"seeds {' '.join(line.seeds)}" if line.seeds else "",
        f"evaluations {' '.join(line.eval_ids)}",
        f"commits {' '.join(line.commits)}" if line.commits else "",
    ]
    return f"{entry.label} ({line.entry}): " + "; ".join(part for part in parts if part)


def html(lines: Sequence[Line]) -> str:
    """The whole page, with the same sorting, filters and notes as a site's."""
    from bench.reporting.site.render import page_alone

    views = [_view(board, f"board-{number}") for number, board in enumerate(boards(lines), start=1)]
    return page_alone("leaderboard.html", title=TITLE, rules=RULES, views=views)


def _view(board: Board, identity: str) -> TableView:
    columns = [
        ViewColumn(heading="place", meaning="by the first metric", best_first="ascending"),
        ViewColumn(heading="change", meaning="places won or lost since the board last changed"),
        *(
            ViewColumn(
                heading=_heading(contest, board, line := _any_line(board, contest)),
                best_first="descending" if line.higher_is_better else "ascending",
            )
            for contest in board.contests
        ),
        ViewColumn(heading="#param", meaning="parameters of the generator", best_first="ascending"),
        ViewColumn(heading="seeds"),
        ViewColumn(heading="trained", words=True, best_first="ascending"),
    ]
    return TableView(
        id=identity,
        title=board.title,
        columns=tuple(columns),
        rows=tuple(_view_row(board, entry) for entry in board.entries),
        notes=tuple(_legend(board)),
        footnotes=tuple(_origin(entry) for entry in board.entries),
        downloads=(("leaderboard.csv", "leaderboard.csv"),),
    )


def _view_row(board: Board, entry: Entry) -> ViewRow:
    line = entry.first
    moved = line.previous_rank - line.rank if line.previous_rank is not None and line.rank is not None else None
    metrics = [entry.by_metric.get(contest) for contest in board.contests]
    cells = [
        ViewCell(text=place_text(line), order=line.rank),
        ViewCell(text=change_text(line), order=moved, note=_change_note(line)),
        *(_value_cell(found) for found in metrics),
        ViewCell(text=parameters_text(line.params) if line.params is not None else "", order=line.params),
        ViewCell(text=str(line.n_seeds) if line.n_seeds else "", order=line.n_seeds or None),
        ViewCell(
            text=_training(line, settings=False),
            order=_training(line) or None,
            note=(("settings", line.settings),) if line.settings else (),
        ),
    ]
    return ViewRow(
        label=entry.label,
        marks=_MARKS.get(line.provenance, ""),
        found_by=f"{_training(line)} {line.entry} {' '.join(line.run_ids)}",
        note=(("entry", line.entry), ("provenance", line.provenance), ("from", _origin(entry))),
        cells=tuple(cells),
        states=tuple(dict.fromkeys("value" if found.mean is not None else "n/a" for found in metrics if found)),
        provenance=line.provenance,
        pinned=line.provenance == "real images",
    )


def _change_note(line: Line) -> Note:
    if line.rank is None or not line.change:
        return ()
    if line.previous_rank is None:
        return (("before", "it was not there"),)
    return (("before", f"place {line.previous_rank}"),)


def _value_cell(line: Line | None) -> ViewCell:
    if line is None:
        return ViewCell(text="")
    note = [("place", place_text(line)), ("before", str(line.previous_rank or "new"))] if line.rank else []
    if line.low is not None and line.high is not None:
        note.append(("95 % interval", f"{line.low:.4g} to {line.high:.4g} {line.unit}".rstrip()))
    note += [("state", line.reason)] if line.reason else []
    note += [("seeds", " ".join(line.seeds))] if line.seeds else []
    note += [("runs", " ".join(line.run_ids))] if line.run_ids else []
    note += [("evaluations", " ".join(line.eval_ids)), ("images", f"{line.images:,}"), ("protocol", line.protocol)]
    note += [("judged with", " ".join(line.judged_with))] if line.judged_with else []
    note += [("commits", " ".join(line.commits))] if line.commits else []
    first = line.rank == 1
    return ViewCell(
        text=value_text(line),
        order=line.mean,
        look="best" if first else "na" if line.mean is None else "",
        spoken="first" if first else "",
        note=tuple(note),
    )
