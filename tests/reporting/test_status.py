"""The tables of ``status`` and ``plan``."""

from __future__ import annotations

import json
import socket

import pytest
from rich.console import Console
from rich.table import Table as RichTable

from bench.plan import plan_study
from bench.reporting.status import duration_text, plan_table, status_lines, status_table

from .conftest import FakeStore


def text_of(table: RichTable) -> str:
    console = Console(width=220)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def line_with(text: str, *words: str) -> str:
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return line


def test_status_tells_progress_speed_time_left_score_and_error(partial: FakeStore) -> None:
    folder = partial.store.run(partial.run_spec("pix2pixHD++"))
    rows = [{"step": 100, "score/mIoU": 12.5}, {"step": 150, "score/mIoU": 17.25}, {"step": 180, "loss/G": 1.0}]
    folder.metrics_file.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"step": 18', encoding="utf-8")
    text = text_of(status_table(status_lines(partial.study, partial.store)))
    running = line_with(text, "train", "pix2pixHD++", "running")
    for word in ("183/300", "61", "52.5", "75 s", "mIoU 17.2 at step 150", socket.gethostname()[:8]):
        assert word in running
    failed = line_with(text, "train", "failed")
    assert "12/300" in failed
    assert "CUDA out of memory" in failed
    assert "more lines" not in text
    assert "mIoU 43.2" in line_with(text, "evaluate", "SPADE decoder")
    assert "mIoU 89.0" in line_with(text, "evaluate", "real images")
    assert len(status_lines(partial.study, partial.store)) == 1 + 2 * len(partial.study.rows)


def test_plan_shows_verb_job_and_reason(partial: FakeStore) -> None:
    text = text_of(plan_table(plan_study(partial.study, partial.store), title="plan"))
    assert "not in the store" in line_with(text, "submit", "train 100% odd_row & co on synthetic, seed 0")
    assert "CUDA out of memory" in line_with(text, "retry", "train pix2pixHD on")
    assert "finished" in line_with(text, "skip", "train SPADE decoder")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5400, "90 min"), (11_100, "3 h 05 min"), (187_200, "2 d 04 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
