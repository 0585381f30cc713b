"""How numbers and states read, the same in every format; formats differ only in how they emphasise and escape."""

from __future__ import annotations

from bench.reporting.cells import VERDICTS, Cell, Column, Table

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
ONE_SEED = "°"
OVER_IMAGES = "ⁱ"
OVER_BOTH = "ˢⁱ"
OTHER_PROTOCOL = "§"
MINUS = "−"
_INTERVAL_MARKS = {"": "", "seeds": "", "images": OVER_IMAGES, "seeds and images": OVER_BOTH}


def superscript(number: int) -> str:
    """``12`` as ``¹²``."""
    return str(number).translate(_SUPERSCRIPTS)


def parameters_text(count: float) -> str:
    """Three significant digits: ``96.5M``, ``183M``, ``45.6k``."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            scaled = count / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{letter}"
    return f"{count:.0f}"


def number_text(value: float, column: Column) -> str:
    """The value alone, as the column prints it."""
    if column.kind == "parameters":
        return parameters_text(value)
    if column.kind == "verdict":
        return VERDICTS[round(value)]
    if column.kind == "delta":
        text = f"{round(value, column.decimals) + 0.0:+.{column.decimals}f}"  # + 0.0: no minus before a zero
        return text.replace("-", MINUS)
    if column.kind == "cost" and abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{column.decimals}f}{'M' if column.unit == 'M' else ''}"


def cell_text(cell: Cell, column: Column, table: Table) -> str:
    """What a reader sees, without emphasis: ``43.1 ± 0.6``, ``43.1 ± 0.6ⁱ``, ``43.1°``, ``running 61 %``, ``n/a¹``."""
    if cell.state == "blank":
        return ""
    if cell.value is not None:
        text = number_text(cell.value, column)
        if cell.half_width is not None:
            text += f" ± {cell.half_width:.{column.decimals}f}{_mark(cell, column)}"
        elif cell.n_seeds == 1:
            text += ONE_SEED
        if cell.other_protocol:
            text += OTHER_PROTOCOL
        if not cell.complete:
            text += f" [{cell.n_seeds}/{cell.n_seeds_planned}]"
        return text
    if cell.state == "running":
        return cell.detail or "running"
    number = table.reason_number(cell)
    return cell.state + (superscript(number) if number is not None else "")


def _mark(cell: Cell, column: Column) -> str:
    """The sign of what the interval is over; a column of differences says it in its heading."""
    return "" if column.kind == "delta" else _INTERVAL_MARKS[cell.interval_over]


def reason_lines(table: Table) -> list[str]:
    """The numbered reasons: ``¹ n/a (weights file X is missing)``."""
    return [f"{superscript(number)} {reason}" for number, reason in enumerate(table.reasons, start=1)]


def about(cell: Cell) -> str:
    """All that a reader may ask of a cell: what is missing, its limits, the paper's cell, where it comes from."""
    parts = [cell.detail]
    if cell.interval is not None:
        parts.append(f"95 % interval over {cell.interval_over}: {cell.interval[0]:.4g} to {cell.interval[1]:.4g}")
    if cell.rank is not None:
        parts.append(f"rank {rank_text(cell.rank)}")
    if cell.other_protocol:
        parts.append(f"judged by {cell.other_protocol}, not by the column's protocol")
    if cell.delta is not None and not cell.footnote.startswith("ours minus"):
        parts.append(f"{cell.delta:+.3g} to {cell.published_cell}".replace("-", MINUS, 1))
    parts.append(cell.footnote)
    return "; ".join(part for part in parts if part)


def rank_text(rank: tuple[int, int]) -> str:
    """``1`` or, where intervals overlap, ``1–2``."""
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"
