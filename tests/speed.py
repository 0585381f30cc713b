"""Processor time of a child process, and of the libraries it cannot do without: limits that hold on any machine."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND_LINE = """
import typer, rich.console, rich.table
app = typer.Typer()
@app.command()
def verb(number: int = 1): print(number)
app([])
"""
"""A command line of one verb that does nothing: 0.15 s where the harness promises 0.5 s for `plan` and `status`."""
REPORT = """
import sys
import jinja2, pandas
from matplotlib.figure import Figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
figure = Figure(layout="constrained")
figure.subplots(1, 2)[0].plot([1, 2], label="a")
figure.legend()
for suffix in (".png", ".svg"): figure.savefig(sys.argv[1] + suffix)
"""
"""One figure of two panels, drawn and written, and pandas imported."""


def processor_s(code: str, *arguments: str) -> float:
    """User and system time of ``python -c code``, the least of three; bytecode is compiled once, as a user has it."""
    words = [sys.executable, "-c", code, *arguments]
    return min(_once(words) for _ in range(3))


def _once(words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""}, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
