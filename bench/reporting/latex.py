"""Tables as LaTeX, for a paper: booktabs, and where every number comes from as comments."""

from __future__ import annotations

from itertools import groupby

from bench.reporting.cells import Cell, Column, Table
from bench.reporting.panels import GAP, column_widths, group_lines, heading_lines, panels
from bench.reporting.text import about, cell_text

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",
    "]": "{]}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "°": r"$^{\circ}$",
    "†": r"$^{\dagger}$",
    "‡": r"$^{\ddagger}$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "Δ": r"$\Delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "…": r"\ldots{}",
    "–": "--",
    "—": "---",
    "’": "'",
    "ⁱ": r"$^{i}$",
    "ˢ": r"$^{s}$",
    "⊕": r"$^{\oplus}$",
    **{sign: f"$^{{{digit}}}$" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}

_LINE_CHARACTERS = 150
"""So many fit a line across both columns of a paper, shrunk a little."""


def escape(text: str) -> str:
    """``text`` for LaTeX with T1 fonts; letters outside Latin-1 without a known command become a question mark."""
    return "-{}-".join(_escaped(part) for part in text.split("--"))


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character if ord(character) < 256 else "?") for character in text)


def latex(table: Table) -> str:
    r"""A ``table*`` environment; needs T1 ``fontenc``, ``booktabs``, ``graphicx``.

    Columns that are too many for a line stand in parts below one another, each shrunk where still wider than the line.
    """
    body = [
        rf"% needs \usepackage[T1]{{fontenc}}, booktabs and graphicx; study {_comment(table.study)}",
        r"\begin{table*}[t]",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(table.title)}}}",
    ]
    for part in panels(table, _LINE_CHARACTERS):
        body += [r"\smallskip", *_tabular(table, part), r"\par"]
    body[-1:] = [*_note_lines(table), r"\end{table*}"]
    return "\n".join(body) + "\n"


def _tabular(table: Table, shown: list[int]) -> list[str]:
    columns = [table.columns[index] for index in shown]
    body = [
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(columns)}@{{}}}}",
        r"\toprule",
        *_group_lines(table, shown),
        " & ".join(["", *(_heading(column) for column in columns)]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        if row.real:
            body.append(r"\midrule")
        label = escape(row.label) + escape(row.marks)
        cells = [_cell(row.cells[index], table.columns[index], table) for index in shown]
        body.append(" & ".join([rf"\textit{{{label}}}" if row.real else label, *cells]) + r" \\")
        for index, column in zip(shown, columns, strict=True):
            where = f"{row.label} | {f'{column.group}: ' if column.group else ''}{column.heading}"
            body += [f"% {_comment(f'{where}: {told}')}" for told in _about(row.cells[index], column)]
    return [*body, r"\bottomrule", r"\end{tabular}}"]


def _heading(column: Column) -> str:
    """Broken so that the column is no wider than its numbers need."""
    lines = heading_lines(column)
    return escape(lines[0]) if len(lines) == 1 else _stacked(lines, "r")


def _stacked(lines: list[str], align: str) -> str:
    broken = r"\\".join(r"\strut " + escape(line) for line in lines)
    return rf"\shortstack[{align}]{{{broken}}}"


def _group_lines(table: Table, shown: list[int]) -> list[str]:
    """A line of shared headings with rules below them, where there are any."""
    if not any(table.columns[index].group for index in shown):
        return []
    widths = column_widths(table, shown)
    entries, rules, position = [""], [], 2
    for group, members in groupby(shown, key=lambda index: table.columns[index].group):
        count = len(list(members))
        wide = widths[position - 2 : position - 2 + count]
        lines = group_lines(group, sum(wide) + GAP * (count - 1))
        text = _stacked(lines, "c") if len(lines) > 1 else escape(group)
        entries.append(rf"\multicolumn{{{count}}}{{c}}{{{text}}}")
        if group:
            rules.append(rf"\cmidrule(l){{{position}-{position + count - 1}}}")
        position += count
    return [" & ".join(entries) + r" \\", " ".join(rules)]


def _cell(cell: Cell, column: Column, table: Table) -> str:
    text = escape(cell_text(cell, column, table))
    if cell.standing == "best":
        return rf"\textbf{{{text}}}"
    return rf"\underline{{{text}}}" if cell.standing == "second" else text


def _about(cell: Cell, column: Column) -> list[str]:
    """One comment for a measured or computed cell: the paper's own numbers have their source in the caption's notes."""
    told = about(cell)
    return [told] if told and column.kind != "paper" else []


def _note_lines(table: Table) -> list[str]:
    reasons = [f"$^{{{number}}}$ {escape(reason)}" for number, reason in enumerate(table.reasons, start=1)]
    lines = [*reasons, *(escape(note) for note in table.notes)]
    return [r"\par\smallskip\raggedright\scriptsize", *(rf"{line}\par" for line in lines)] if lines else []


def _comment(text: str) -> str:
    return " ".join(text.split())
