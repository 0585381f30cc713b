"""How numbers and states read, the same in every format; formats differ only in how they emphasise and escape."""

from __future__ import annotations

from bench.reporting.cells import Cell, Column, Table

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
ONE_SEED = "°"
MINUS = "−"


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
    if column.kind == "delta":
        text = f"{round(value, column.decimals) + 0.0:+.{column.decimals}f}"  # + 0.0: no minus before a zero
        return text.replace("-", MINUS)
    return f"{value:.{column.decimals}f}{'M' if column.unit == 'M' else ''}"


def cell_text(cell: Cell, column: Column, table: Table) -> str:
    """What a reader sees, without emphasis: ``43.1 ± 0.6``, ``43.1°``, ``running 61 %``, ``n/a¹`` or nothing."""
    if cell.state == "blank":
        return ""
    if cell.value is not None:
        text = number_text(cell.value, column)
        if cell.half_width is not None:
            text += f" ± {cell.half_width:.{column.decimals}f}"
        elif cell.n_seeds == 1:
            text += ONE_SEED
        if not cell.complete:
            text += f" [{cell.n_seeds}/{cell.n_seeds_planned}]"
        return text
    if cell.state == "running":
        return cell.detail or "running"
    number = table.reason_number(cell)
    return cell.state + (superscript(number) if number is not None else "")


def reason_lines(table: Table) -> list[str]:
    """The numbered reasons: ``¹ n/a (weights file X is missing)``."""
    return [f"{superscript(number)} {reason}" for number, reason in enumerate(table.reasons, start=1)]
