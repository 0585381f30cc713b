"""A small study and a store that is filled by hand, through the same calls that the trainer and the evaluator use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from baselines.registry import get_variant
from bench.plan import evaluation_of
from bench.run_spec import DatasetRef, RunSpec, Training
from bench.store import Evaluation, Score, Store
from bench.study import Row, Study, StudyDataset

ROWS = (
    ("SPADE decoder", "spade-decoder", "decoder w/ SPADE (Ours)"),
    ("decoder w/ Concat", "concat-decoder", "decoder w/ Concat"),
    ("pix2pixHD++", "pix2pixhd-pp", "pix2pixHD++"),
    ("pix2pixHD", "pix2pixhd", "pix2pixHD"),
    ("100% odd_row & co", "pix2pixhd-pp-compact", None),
)
MISSING = "weights file pt_inception-2015-12-05-6726825d.pth is missing"


def make_dataset(name: str = "synthetic", published: str | None = None) -> StudyDataset:
    return StudyDataset(
        ref=DatasetRef(name=name, size=(64, 64), manifest="0123456789ab", val_images=200),
        training=Training(steps=300, batch_images=8),
        protocol={"synthetic": "synthetic", "coco_stuff": "paper2019-coco"}[name],
        published_dataset=published,
    )


def make_study(
    *,
    datasets: tuple[StudyDataset, ...] | None = None,
    seeds: tuple[int, ...] = (0,),
    rows: tuple[tuple[str, str, str | None], ...] = ROWS,
    table: str | None = "Table 3",
) -> Study:
    def row(label: str, variant: str, method: str | None) -> Row:
        scaled = get_variant(variant).scaled(width=8)
        return Row(label=label, variant=scaled, recipe=scaled.recipe(), published_method=method)

    return Study(
        name="tiny",
        title="Tiny Table 3",
        question="Does the layer help?",
        rows=tuple(row(*item) for item in rows),
        datasets=datasets or (make_dataset(),),
        seeds=seeds,
        published_table=table,
        scale_note="widths of 8, 300 steps.",
    )


@dataclass
class FakeStore:
    """Fills a store as if runs and evaluations had taken place."""

    study: Study
    store: Store

    def run_spec(self, label: str, seed: int = 0, dataset: int = 0) -> RunSpec:
        row = next(row for row in self.study.rows if row.label == label)
        return self.study.run(row, self.study.datasets[dataset], seed)

    def train(
        self, label: str, seed: int = 0, dataset: int = 0, *, parameters: int | None = None, **status: object
    ) -> RunSpec:
        run = self.run_spec(label, seed, dataset)
        folder = self.store.run(run)
        folder.create(run)
        provenance: dict[str, object] = {"commit": "abcdef0123456789", "dirty": False, "hardware": "2 cores"}
        if parameters is not None:
            provenance["generator_parameters"] = parameters
        folder.write_provenance(provenance, 1)
        folder.write_status(**{"state": "done", "step": 300, "steps": 300, **status})
        return run

    def judge(
        self, label: str | None, seed: int = 0, dataset: int = 0, *, images: int = 200, **scores: float | str
    ) -> Evaluation:
        """Scores by metric name (``accu_all`` for ``accu@all``); a string is the reason of a missing one."""
        run = None if label is None else self.run_spec(label, seed, dataset)
        spec = evaluation_of(run, self.study.datasets[dataset])
        names = {
            "accu_all": "accu@all",
            "accu_labelled": "accu@labelled",
            "FD": "FD@synthetic-judge",
            "lite0": "FD@efficientnet-lite0",
            "FID": "FID@tf",
        }
        found = {
            names.get(name, name): Score(value=None, reason=value) if isinstance(value, str) else Score(value=value)
            for name, value in scores.items()
        }
        evaluation = Evaluation(
            eval_id=spec.eval_id,
            spec=spec,
            images=images,
            step=None if run is None else 300,
            scores=found,
            class_iou={},
            class_pixels={},
        )
        self.store.write_evaluation(evaluation)
        return evaluation

    def done(
        self, label: str, seed: int = 0, dataset: int = 0, *, parameters: int | None = None, **scores: float | str
    ) -> None:
        self.train(label, seed, dataset, parameters=parameters)
        self.judge(label, seed, dataset, **scores)


@pytest.fixture
def fake(tmp_path: Path) -> FakeStore:
    return FakeStore(make_study(), Store(tmp_path / "store"))


@pytest.fixture
def partial(fake: FakeStore) -> FakeStore:
    """A value, a run at 61 %, a failed one, a trained one that is not judged yet, one that has not begun."""
    fake.judge(None, mIoU=89.0, accu_all=95.0, accu_labelled=95.0, FD=0.0, lite0=0.0, FID=MISSING)
    fake.done(
        "SPADE decoder",
        parameters=1_234_567,
        mIoU=43.25,
        accu_all=80.0,
        accu_labelled=80.0,
        FD=3.456,
        lite0=45.25,
        FID=MISSING,
    )
    fake.done(
        "decoder w/ Concat",
        parameters=999_600,
        mIoU=40.0,
        accu_all=79.0,
        accu_labelled=79.0,
        FD=4.0,
        lite0=51.5,
        FID=MISSING,
    )
    fake.train("pix2pixHD++", parameters=2_000_000, state="running", step=183, steps=300, images_per_s=52.5, eta_s=75.0)
    fake.train("pix2pixHD", state="failed", step=12, steps=300, error="CUDA out of memory\nmore lines")
    return fake
