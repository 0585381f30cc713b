"""A store of any number of runs, filled through plain writes: what thousands of finished trainings leave behind.

The scores are made up by a formula, for tests of speed alone; the folder of a store so filled is a test's own.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.plain import to_plain
from bench.plan import evaluation_of
from bench.run_spec import RunSpec
from bench.store import Evaluation, RunStatus, Score, Store
from bench.study import Study
from tests.reporting.conftest import make_study

ROWS = 5


def scale_study(runs: int) -> Study:
    """Five rows, ``runs`` divided by five seeds."""
    assert runs % ROWS == 0
    return replace(make_study(seeds=tuple(range(runs // ROWS))), name="scale", title="Scale (made up)")


def fill(store: Store, study: Study) -> None:
    """Every run trained and judged, but for one in a hundred that failed, one that runs and one that never began."""
    evaluation = evaluation_of(None, study.datasets[0])
    _write_evaluation(
        store, Evaluation(eval_id=evaluation.eval_id, spec=evaluation, images=200, step=None, **_scores(89))
    )
    weights = dict(evaluation.weights_sha256)
    for number, (_, dataset, _, run) in enumerate(study.cells()):
        state = {97: "failed", 98: "running", 99: "pending"}.get(number % 100, "done")
        if state == "pending":
            continue
        _write_run(store, run, state)
        if state == "done":
            spec = evaluation_of(run, dataset, weights)
            made = Evaluation(eval_id=spec.eval_id, spec=spec, images=200, step=300, **_scores(30 + number % 7))
            _write_evaluation(store, made)
    store.write_study(study)


def _scores(percent: float) -> dict[str, Any]:
    names = ("mIoU", "accu@all", "accu@labelled", "FD@synthetic-judge", "FD@efficientnet-lite0")
    classes = {f"class {number}": percent for number in range(12)}
    return {
        "scores": {name: Score(value=percent) for name in names},
        "class_iou": classes,
        "class_pixels": dict.fromkeys(classes, 1000),
    }


def _write_run(store: Store, run: RunSpec, state: str) -> None:
    folder = store.run(run).path
    (folder / "checkpoints").mkdir(parents=True)
    _write(folder / "run.json", run.to_json())
    status = RunStatus(
        state=state,  # type: ignore[arg-type]
        step=300 if state == "done" else 120,
        steps=300,
        images_per_s=50.0,
        eta_s=60.0,
        host="elsewhere",
        pid=1,
        updated=time.time() + 3600.0,
        error="CUDA out of memory" if state == "failed" else "",
    )
    _write(folder / "status.json", to_plain(status))
    _write(folder / "provenance.json", {"commit": "0123456789", "dirty": False, "generator_parameters": 1_234_567})
    (folder / "checkpoints" / "step_00000300.pt").touch()
    lines = [
        json.dumps({"step": step, "time": step, "loss/g": 1.0, "images_per_s": 50.0}) for step in range(0, 300, 25)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def _write_evaluation(store: Store, evaluation: Evaluation) -> None:
    folder = store.evaluation_folder(evaluation.eval_id)
    folder.mkdir(parents=True)
    _write(folder / "evaluation.json", to_plain(evaluation))


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
