"""``status`` on a screen: everything where it fits, otherwise what is urgent; live; with a thousand jobs."""

from __future__ import annotations

import io
import json
import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.job_records import JobRecords, Submission
from bench.lives import Start, begin_life
from bench.plan import Job, study_jobs
from bench.reporting.live import Look, View, exit_hint, finished, screen, watch
from bench.reporting.status import StatusReader, counts_text, rows_table, status_lines, status_table, steps_share
from bench.scheduler import Scheduled
from bench.signs import LifeSign
from bench.store import Store

from .conftest import FakeStore, make_study


def drawn(look: Look, view: View | None = None, *, height: int | None = None, width: int = 200) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(screen(look, "tiny", view or View(), height))
    return capture.get()


def job_of(study_store: FakeStore, title: str) -> Job:
    return next(job for job in study_jobs(study_store.study) if job.title.startswith(title))


def table_text(lines: list[object]) -> str:
    console = Console(width=220)
    with console.capture() as capture:
        console.print(status_table(lines))  # type: ignore[arg-type]
    return capture.get()


def test_counts_and_share_of_all_steps(partial: FakeStore) -> None:
    lines = status_lines(partial.study, partial.store)
    # 300 + 300 + 183 + 12 + 0 of 5 x 300 steps
    assert steps_share(lines) == pytest.approx(795 / 1500)
    assert counts_text(lines) == "11 jobs: 1 failed, 1 running, 4 not begun, 5 done; 53 % of all steps"
    assert counts_text([]) == "no jobs"
    assert not finished(lines)
    assert finished([line for line in lines if line.state != "running"])
    assert "retry tiny" in exit_hint(lines, "tiny")
    assert exit_hint([line for line in lines if line.state != "failed"], "tiny") == ""


def test_the_scheduler_adds_node_restarts_and_the_reason_of_pending(partial: FakeStore) -> None:
    running, waiting = job_of(partial, "train pix2pixHD++"), job_of(partial, "evaluate pix2pixHD++")
    records = JobRecords(partial.store)
    for job in (running, waiting):
        submission = Submission(token="ab12", name="n-ab12", scheduler="SLURM", time=1.0, folder="jobs/x/logs")
        records.intend(job.key, submission)
    for restart in range(3):
        start = Start(submission="ab12", scheduled_id="4711", restart=restart)
        begin_life(partial.store.job_folder(running.key), start, saved=restart)
    heard = {
        running.key: Scheduled(state="running", id="4711", node="node[1-2]", restarts=2),
        waiting.key: Scheduled(state="pending", id="4712", reason="Dependency"),
    }
    lines = {line.job.key: line for line in status_lines(partial.study, partial.store, heard)}
    assert (lines[running.key].state, lines[running.key].node, lines[running.key].restarts) == (
        "running",
        "node[1-2]",
        2,
    )
    assert (lines[waiting.key].state, lines[waiting.key].remark) == ("pending", "Dependency")
    text = table_text(list(lines.values()))
    assert re.search(r"train +pix2pixHD\+\+ +0 +running +183/300 +61 +52\.5 +75 s +node\[1-2\] +2", text)
    told = lines[running.key].to_json()
    assert (told["scheduler"], told["scheduled_ids"], told["restarts"], told["left_s"]) == ("SLURM", ["4711"], 2, 75.0)
    unheard = {line.job.key: line for line in status_lines(partial.study, partial.store)}
    assert unheard[waiting.key].state == "unknown"
    assert unheard[running.key].state == "running", "its own folder says so"


def test_an_evaluation_tells_how_many_images_are_done(partial: FakeStore) -> None:
    from bench.claim import claimed

    job = job_of(partial, "evaluate pix2pixHD++")
    assert job.evaluation is not None
    sign = LifeSign(partial.store.job_folder(job.key))
    with claimed(partial.store.evaluation_folder(job.evaluation.eval_id)):
        sign.progress(30, 400, "generate")
        sign.begin()
        (line,) = [line for line in status_lines(partial.study, partial.store) if line.job.key == job.key]
        sign.ending("done")
    assert (line.state, line.done, line.of) == ("running", 30, 400)
    assert line.left_s is not None


def test_columns_that_would_be_empty_are_left_out(fake: FakeStore) -> None:
    text = table_text(list(status_lines(fake.study, fake.store)))
    assert "not begun" in text
    for name in ("images/s", "score", "node", "restarts", "remark"):
        assert name not in text


LARGE = make_study(seeds=tuple(range(100)))
"""5 rows of 100 seeds: 500 trainings, 501 evaluations."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    found = FakeStore(LARGE, Store(tmp_path_factory.mktemp("large")))
    for seed in range(100):
        found.done("SPADE decoder", seed, mIoU=43.25)
    for seed in range(7):
        found.train("pix2pixHD", seed, state="failed", step=12, steps=300, error="CUDA out of memory")
        found.train("pix2pixHD++", seed, state="running", step=30, steps=300, images_per_s=10.0, eta_s=5400.0)
    return found


def test_a_thousand_jobs_are_counted_and_the_urgent_ones_shown(large: FakeStore) -> None:
    reader = StatusReader(large.study, large.store)
    lines = reader.lines()
    text = drawn(Look(lines=lines, notes=["no accounting here"]))
    assert "1001 jobs: 7 failed, 7 running, 787 not begun, 200 done; 20 % of all steps" in text
    assert re.search(r"pix2pixHD +synthetic +200 +7 +193 +0", text)
    assert re.search(r"SPADE decoder +synthetic +200 +200 +100", text)
    order = [line.state for line in lines if line.state in ("failed", "running")]
    assert Counter(order) == {"failed": 7, "running": 7}
    shown = re.findall(r"^ (?:train|evaluate) .* (failed|running|not begun|done) ", text, flags=re.MULTILINE)
    assert shown[:14] == ["failed"] * 7 + ["running"] * 7
    assert len(shown) == 30
    assert "30 of 1001 jobs are shown, the most urgent first; --all shows every job" in text
    assert "no accounting here" in text
    assert len(text.splitlines()) < 60


@pytest.mark.parametrize("height", [24, 40, 80])
def test_a_live_screen_never_scrolls(large: FakeStore, height: int) -> None:
    lines = StatusReader(large.study, large.store).lines()
    assert len(drawn(Look(lines=lines), height=height).splitlines()) <= height
    assert "failed" in drawn(Look(lines=lines), height=height)


def test_pages_states_and_everything(large: FakeStore) -> None:
    lines = StatusReader(large.study, large.store).lines()
    second = drawn(Look(lines=lines), View(page=2))
    assert len(re.findall(r"^ (?:train|evaluate) ", second, flags=re.MULTILINE)) == 60
    assert "page 2 of 17" in second
    assert len(re.findall(r"^ (?:train|evaluate) ", drawn(Look(lines=lines), View(page=17)), flags=re.MULTILINE)) == 41
    assert len(re.findall(r"^ (?:train|evaluate) ", drawn(Look(lines=lines), View(everything=True)), re.MULTILINE)) == (
        1001
    )
    failed = drawn(Look(lines=lines), View.of("failed", None, False))
    assert len(re.findall(r"^ train .* failed ", failed, flags=re.MULTILINE)) == 7
    assert "running" not in failed.partition("\n")[2]
    with pytest.raises(ValueError, match="--state is 'faild,done': faild is no state; states are: failed, hopeless"):
        View.of("faild,done", None, False)
    with pytest.raises(ValueError, match="--page is 0; pages are counted from 1"):
        View.of(None, 0, False)


def processor_s(action: object) -> float:
    began = time.process_time()
    action()  # type: ignore[operator]
    return time.process_time() - began


def test_a_look_at_a_thousand_jobs_is_quick_and_done_ones_are_read_once(
    large: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = StatusReader(large.study, large.store)
    first = processor_s(reader.lines)
    assert first < 3.0
    assert len(reader.unfinished()) == 801
    read: list[str] = []
    real = Store.evaluation

    def noted(store: Store, eval_id: str) -> object:
        read.append(eval_id)
        return real(store, eval_id)

    monkeypatch.setattr(Store, "evaluation", noted)
    reader.lines()
    done = {job.evaluation.eval_id for job in reader.jobs if job.evaluation and "SPADE decoder" in job.title}
    assert not done & set(read)


def test_watching_ends_when_nothing_goes_on(partial: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    running = partial.store.run(partial.run_spec("pix2pixHD++"))
    reader = StatusReader(partial.study, partial.store)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            running.write_status(state="done", step=300, steps=300)

    printed = io.StringIO()
    last = watch(lambda: Look(lines=reader.lines()), Console(file=printed, width=200), "tiny", View(), 7.0, sleep=sleep)
    assert slept == [7.0, 7.0]
    lines = printed.getvalue().splitlines()
    assert len(lines) == 2, "only what changed"
    assert "1 running" in lines[0]
    assert "tiny: 11 jobs: 1 failed, 4 not begun, 6 done" in lines[1]
    assert finished(last.lines)


def test_ctrl_c_ends_watching_with_the_last_look(partial: FakeStore) -> None:
    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    lines = status_lines(partial.study, partial.store)
    terminal = Console(file=io.StringIO(), width=120, height=30, force_terminal=True)
    last = watch(lambda: Look(lines=lines), terminal, "tiny", View(), 1.0, sleep=sleep)
    assert last.lines == lines


def test_rows_are_counted_by_state(partial: FakeStore) -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(rows_table(status_lines(partial.study, partial.store)))
    assert re.search(r"pix2pixHD\+\+ +synthetic +2 +1 +1 +61", capture.get())


def test_a_copied_store_tells_what_it_can(partial: FakeStore, tmp_path: Path) -> None:
    """On another machine, days later: nothing is asked, and what ran is not called dead."""
    run = partial.run_spec("pix2pixHD++")
    path = partial.store.run(run).path / "status.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "host": "node7", "updated": data["updated"] - 3 * 86_400}))
    job = job_of(partial, "train pix2pixHD++")
    submission = Submission(
        token="ab12", name="n-ab12", scheduler="SLURM", time=1.0, folder="jobs/x/logs", ids=("4711",)
    )
    (line,) = [line for line in status_lines(partial.study, partial.store) if line.job.key == job.key]
    assert line.state == "failed"
    JobRecords(partial.store).intend(job.key, submission)
    (line,) = [line for line in status_lines(partial.study, partial.store) if line.job.key == job.key]
    assert line.state == "unknown"
    assert line.remark == ("SLURM job 4711: its scheduler was not asked; last sign of life 3 d 00 h ago on node7")
    assert replace(line, starts=0).restarts == 0
