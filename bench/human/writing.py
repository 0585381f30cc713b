"""The files of a scored study."""

from __future__ import annotations

from pathlib import Path

from bench.atomic import written_beside
from bench.human.table import Scored, preference_tables, preferences_csv, raters_csv


def write_scored(scored: Scored, out: Path) -> list[Path]:
    """Write ``table.md``, ``table.tex``, ``preferences.csv`` and ``raters.csv`` under ``out``; returns their paths."""
    from bench.reporting.render import render

    tables = preference_tables(scored)
    texts = {
        "table.md": render("Human preference", tables, "md"),
        "table.tex": render("Human preference", tables, "latex"),
        "preferences.csv": preferences_csv(scored),
        "raters.csv": raters_csv(scored),
    }
    files = []
    for name, text in texts.items():
        with written_beside(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        files.append(out / name)
    return files
