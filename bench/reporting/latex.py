"""Tables as LaTeX, for a paper: booktabs, and where every number comes from as comments."""

from __future__ import annotations

from itertools import groupby

from bench.reporting.cells import Cell, Column, Table
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
    **{sign: f"$^{{{digit}}}$" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}

_LONG_HEADING = 9


def escape(text: str) -> str:
    """``text`` for LaTeX with T1 fonts; letters outside Latin-1 without a known command become a question mark."""
    return "".join(_ESCAPES.get(character, character if ord(character) < 256 else "?") for character in text)


def latex(table: Table) -> str:
    r"""A ``table*`` environment, shrunk where wider than the line; needs T1 ``fontenc``, ``booktabs``, ``graphicx``."""
    columns = table.columns
    body = [
        rf"% needs \usepackage[T1]{{fontenc}}, booktabs and graphicx; study {_comment(table.study)}",
        r"\begin{table*}[t]",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(table.title)}}}",
        r"\smallskip",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(columns)}@{{}}}}",
        r"\toprule",
        *_group_lines(columns),
        " & ".join(["", *(_heading(column) for column in columns)]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        if row.real:
            body.append(r"\midrule")
        label = escape(row.label) + escape(row.marks)
        cells = [_cell(cell, column, table) for cell, column in zip(row.cells, columns, strict=True)]
        body.append(" & ".join([rf"\textit{{{label}}}" if row.real else label, *cells]) + r" \\")
        for cell, column in zip(row.cells, columns, strict=True):
            body += [f"% {_comment(f'{row.label} | {column.heading}: {about}')}" for about in _about(cell, column)]
    body += [r"\bottomrule", r"\end{tabular}}", *_note_lines(table), r"\end{table*}"]
    return "\n".join(body) + "\n"


def _heading(column: Column) -> str:
    """Broken before ``@`` or at the first space, so that the column is no wider than its numbers need."""
    mark = "@" if "@" in column.heading else " "
    first, found, second = column.heading.partition(mark)
    if not found or len(column.heading) < _LONG_HEADING:
        return escape(column.heading)
    return rf"\shortstack[r]{{\strut {escape(first)}\\\strut {escape(found.strip() + second)}}}"


def _group_lines(columns: tuple[Column, ...]) -> list[str]:
    """A line of shared headings with rules below them, where there are any."""
    if not any(column.group for column in columns):
        return []
    entries, rules, position = [""], [], 2
    for group, members in groupby(columns, key=lambda column: column.group):
        count = len(list(members))
        entries.append(rf"\multicolumn{{{count}}}{{c}}{{{escape(group)}}}")
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
