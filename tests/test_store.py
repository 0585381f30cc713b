"""The store: whole files or none, what a dead run looks like, what is found by which name."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.atomic import read_json, write_json, written_beside
from bench.evaluation import weights
from bench.plain import to_plain
from bench.run_spec import RunSpec
from bench.store import HEARTBEAT_LOST_S, Evaluation, EvaluationSpec, RunFolder, RunStatus, Score, Store
from tests.tiny import tiny_run

RUN = tiny_run("pix2pixhd")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def folder(store: Store) -> RunFolder:
    created = store.run(RUN)
    created.create(RUN)
    return created


def write_status(folder: RunFolder, **values: object) -> None:
    status = RunStatus(**{"state": "running", "step": 3, "steps": 9, "updated": time.time(), **values})  # type: ignore[arg-type]
    write_json(folder.path / "status.json", to_plain(status))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": 1})

    def power_cut() -> None:
        with written_beside(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        power_cut()
    assert read_json(path) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_a_write_appears_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with written_beside(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644


def test_json_is_refused_or_named(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert not path.exists()
    path.write_text("{")
    with pytest.raises(ValueError, match="file.json: not valid JSON .*delete it or restore it"):
        read_json(path)


def test_a_metrics_line_that_was_cut_off_is_left_out(folder: RunFolder) -> None:
    assert folder.metrics() == []
    folder.metrics_file.write_text('{"step": 1}\n{"step": 2}\n{"step": 3, "lo')
    assert folder.metrics() == [{"step": 1}, {"step": 2}]
    folder.metrics_file.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl: line 2 is not JSON: '\{\"st'"):
        folder.metrics()


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def living_pid() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process.pid
    process.kill()
    process.wait()


def test_a_folder_without_a_word_is_pending(folder: RunFolder) -> None:
    assert folder.status() == RunStatus(state="pending")
    assert folder.status().fraction == 0.0


def test_a_run_whose_process_is_gone_has_failed(folder: RunFolder, dead_pid: int) -> None:
    write_status(folder, host=socket.gethostname(), pid=dead_pid)
    status = folder.status()
    assert status.state == "failed"
    assert status.error.startswith(f"died without a word on {socket.gethostname()} (pid {dead_pid}")
    assert (status.step, status.fraction) == (3, 3 / 9)


def test_a_run_whose_process_lives_is_running_however_long_a_step_takes(folder: RunFolder, living_pid: int) -> None:
    write_status(folder, host=socket.gethostname(), pid=living_pid, updated=time.time() + 5)
    assert folder.status().state == "running"
    write_status(folder, host=socket.gethostname(), pid=os.getpid(), updated=time.time())
    assert folder.status().state == "running"


@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="needs /proc to know when a process began")
def test_a_number_that_now_belongs_to_a_younger_process_does_not_keep_a_run_alive(
    folder: RunFolder, living_pid: int
) -> None:
    write_status(folder, host=socket.gethostname(), pid=living_pid, updated=time.time() - 3600)
    assert folder.status().state == "failed"


def test_a_run_on_another_machine_is_judged_by_its_heartbeat(folder: RunFolder) -> None:
    write_status(folder, host="elsewhere", pid=1, updated=time.time() - HEARTBEAT_LOST_S / 2)
    assert folder.status().state == "running"
    write_status(folder, host="elsewhere", pid=1, updated=time.time() - 2 * HEARTBEAT_LOST_S)
    assert folder.status().state == "failed"
    assert "elsewhere" in folder.status().error
    write_status(folder, state="done", host="elsewhere", pid=1, updated=0.0)
    assert folder.status().state == "done"


def test_a_run_is_found_by_enough_of_its_name(store: Store, folder: RunFolder) -> None:
    other = tiny_run("pix2pixhd-pp")
    store.run(other).create(other)
    assert store.find_run(RUN.run_id).path == folder.path
    assert store.find_run(RUN.name).path == folder.path
    assert store.find_run("pix2pixhd-pp").spec() == other
    with pytest.raises(ValueError, match=f"(?s)several runs match 'pix2pixhd' .*{other.name}.*{RUN.name}"):
        store.find_run("pix2pixhd")
    with pytest.raises(ValueError, match=f"(?s)no run matches 'crn' .*{RUN.name}"):
        store.find_run("crn")
    with pytest.raises(ValueError, match="(?s)no run matches 'crn' .*the store is empty"):
        Store(store.root / "nowhere").find_run("crn")


def test_a_damaged_run_file_is_named(folder: RunFolder) -> None:
    data = json.loads(folder.spec_file.read_text())
    data["training"]["momentum"] = 0.9
    folder.spec_file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="run.json: training: unknown field momentum"):
        folder.create(RUN)


def spec_for(run: RunSpec) -> EvaluationSpec:
    return EvaluationSpec(
        subject=run.name, run_id=run.run_id, protocol="synthetic@1", protocol_sha256="p", dataset=run.dataset
    )


def test_evaluations_are_kept_by_their_identity(store: Store) -> None:
    spec = spec_for(RUN)
    assert store.evaluation(spec.eval_id) is None
    store.write_evaluation_error(spec.eval_id, "Traceback\nValueError: no file\n  of that name\nput it there")
    assert store.evaluation_error(spec.eval_id) == "ValueError: no file"
    found = Evaluation(
        eval_id=spec.eval_id,
        spec=spec,
        images=4,
        step=2,
        scores={"mIoU": Score(value=12.5), "FID@tf": Score(value=None, reason="missing")},
        class_iou={"sky": 50.0, "sea": None},
        class_pixels={"sky": 10, "sea": 0},
    )
    store.write_evaluation(found)
    assert store.evaluation(spec.eval_id) == found
    assert store.evaluation_error(spec.eval_id) == ""
    assert list(store.evaluations()) == [found]


def test_an_empty_error_file_is_a_failure_still(store: Store) -> None:
    store.write_evaluation_error("abc", "")
    assert store.evaluation_error("abc") == "no word of why"
    assert store.evaluation_error("unknown") == ""


def test_the_digest_of_a_large_file_is_kept_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "_LARGE_BYTES", 4)
    path = tmp_path / "large.pth"
    path.write_bytes(b"first content")
    expected = hashlib.sha256(b"first content").hexdigest()
    assert weights.file_sha256(path) == expected
    (kept,) = (tmp_path / "cache" / "digests").iterdir()
    kept.write_text("0" * 64 + "\n")
    assert weights.file_sha256(path) == "0" * 64, "read again where its digest is known"
    kept.write_text("0" * 40)
    assert weights.file_sha256(path) == expected, "a torn digest is not believed"
    path.write_bytes(b"second content")
    assert weights.file_sha256(path) == hashlib.sha256(b"second content").hexdigest()


def test_a_store_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    store, spec = Store(tmp_path / "100%s {sure} %"), spec_for(RUN)
    scores = {"mIoU": Score(value=50.0)}
    made = Evaluation(
        eval_id=spec.eval_id, spec=spec, images=1, step=None, scores=scores, class_iou={}, class_pixels={}
    )
    store.write_evaluation(made)
    assert store.is_evaluated(spec.eval_id)
    assert store.evaluation(spec.eval_id) == made
    assert store.score(spec.eval_id, "mIoU") == scores["mIoU"]
    assert list(store.evaluated_subjects()) == [(spec.eval_id, spec.subject)]
