"""Stores of the size of the paper's Tables 1 and 3, for tests and for looking at reports. EVERY NUMBER IS FABRICATED.

The scores are the paper's plus noise, the per-image counts are drawn at random; nothing was trained or judged. Titles
and notes say so in every format. Never written under results/; to look at the reports:

    python -m tests.reporting.fabricated FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from baselines.registry import get_variant
from bench.evaluation.metrics import segmentation_scores
from bench.evaluation.protocols import get_protocol
from bench.plan import evaluation_of
from bench.reporting.published import counterpart_of, published_cell
from bench.reporting.render import FILES, report
from bench.run_spec import DatasetRef, Training
from bench.store import Evaluation, Score, Store
from bench.study import Row, Study, StudyDataset

from .conftest import MISSING, FakeStore

FABRICATED = "FABRICATED (test fixture)"
DATASETS = {
    "coco_stuff": ("COCO-Stuff", "paper2019-coco", (256, 256), 5000),
    "ade20k": ("ADE20K", "paper2019-ade20k", (256, 256), 2000),
    "ade20k_outdoor": ("ADE20K-outdoor", "paper2019-ade20k-outdoor", (256, 256), 500),
    "cityscapes": ("Cityscapes", "paper2019-cityscapes", (256, 512), 500),
}
TABLE_1_ROWS = (("pix2pixHD", "pix2pixhd"), ("SPADE (Ours)", "spade-decoder"))
TABLE_3_ROWS = (
    ("decoder w/ SPADE (Ours)", "spade-decoder"),
    ("compact decoder w/ SPADE", "spade-decoder-compact"),
    ("decoder w/ Concat", "concat-decoder"),
    ("pix2pixHD++ w/ SPADE", "pix2pixhd-pp-spade"),
    ("pix2pixHD++ w/ Concat", "pix2pixhd-pp-concat"),
    ("pix2pixHD++", "pix2pixhd-pp"),
    ("compact pix2pixHD++", "pix2pixhd-pp-compact"),
    ("pix2pixHD", "pix2pixhd"),
)
PARAMETERS = {"coco_stuff": 97_484_611, "ade20k": 96_492_483, "ade20k_outdoor": 96_492_483, "cityscapes": 93_045_123}
CLASSES = 12
"""Of the fabricated counts; a real judge has 19 to 182."""


def fabricated_study(table: str, datasets: tuple[str, ...], seeds: tuple[int, ...]) -> Study:
    """A study of full size of ``Table 1`` or ``Table 3``; nothing of it was ever run."""
    rows = TABLE_1_ROWS if table == "Table 1" else TABLE_3_ROWS
    return Study(
        name=f"fabricated_{table.replace(' ', '_').lower()}",
        title=f"{FABRICATED}: {table}",
        question="Fabricated numbers, to look at reports: does every state of every cell read well?",
        rows=tuple(
            Row(label=label, variant=get_variant(name), recipe=get_variant(name).recipe(), published_method=label)
            for label, name in rows
        ),
        datasets=tuple(_dataset(name) for name in datasets),
        seeds=seeds,
        ranks=8,
        published_table=table,
        scale_note="FABRICATED: the paper's numbers plus noise, or drawn at random. Nothing was trained or judged.",
    )


def _dataset(name: str) -> StudyDataset:
    published, protocol, size, images = DATASETS[name]
    return StudyDataset(
        ref=DatasetRef(name=name, size=size, manifest=f"fabricated-{name}", val_images=images),
        training=Training(steps=10_000, batch_images=32),
        protocol=protocol,
        published_dataset=published,
    )


def fabricate_table_1(folder: Path, images: int | None = None) -> FakeStore:
    """Four data sets, one seed: a complete column, one without weights for FID, one running, one not begun.

    Imported images of SIMS on Cityscapes; per-image counts on COCO-Stuff. ``images``: of the counts, fewer than are
    claimed make a smaller store.
    """
    fake = FakeStore(fabricated_study("Table 1", tuple(DATASETS), (0,)), Store(folder))
    random = np.random.default_rng(1)
    for place, dataset in enumerate(fake.study.datasets[:2]):
        _judge_real(fake, place)
        for row in fake.study.rows:
            _done(fake, row.label, 0, place, random, fid=place == 0)
            if dataset.ref.name == "coco_stuff":
                _write_counts(fake, row.label, place, random, images)
    fake.train("pix2pixHD", 0, 2, parameters=PARAMETERS["ade20k_outdoor"], state="running", step=6100, steps=10_000)
    fake.train("SPADE (Ours)", 0, 3, state="failed", step=12, error="CUDA out of memory\nmore lines")
    _import_sims(fake, 3)
    return fake


def fabricate_table_3(folder: Path) -> FakeStore:
    """Three data sets, three seeds: complete, with a seed missing, running, failed, trained but not judged, pending."""
    fake = FakeStore(fabricated_study("Table 3", ("coco_stuff", "ade20k", "cityscapes"), (0, 1, 2)), Store(folder))
    random = np.random.default_rng(3)
    for place, dataset in enumerate(fake.study.datasets):
        if dataset.ref.name != "cityscapes":
            _judge_real(fake, place)
        for index, row in enumerate(fake.study.rows):
            for seed in fake.study.seeds:
                if dataset.ref.name == "cityscapes" and index >= 2:
                    continue
                if dataset.ref.name == "ade20k" and index == 3 and seed == 2:
                    fake.train(row.label, seed, place, state="failed", step=40, steps=10_000, error="lost its node")
                elif dataset.ref.name == "ade20k" and index == 4:
                    fake.train(row.label, seed, place, state="running", step=4300, steps=10_000)
                elif dataset.ref.name == "ade20k" and index == 5:
                    fake.train(row.label, seed, place, step=10_000, steps=10_000)
                elif dataset.ref.name == "ade20k" and index == 6:
                    fake.train(row.label, seed, place, state="failed", step=9, error="CUDA out of memory\nmore lines")
                else:
                    _done(fake, row.label, seed, place, random, fid=True)
    return fake


def _done(fake: FakeStore, label: str, seed: int, place: int, random: np.random.Generator, *, fid: bool) -> None:
    dataset = fake.study.datasets[place]
    scale = {"decoder w/ Concat": 0.82, "pix2pixHD": 1.9, "pix2pixHD++": 1.9}.get(label, 1.0)
    count = round(PARAMETERS[dataset.ref.name] * scale)
    run = fake.train(label, seed, place, parameters=count, step=10_000, steps=10_000, images_per_s=48 / scale)
    folder = fake.store.run(run)
    provenance = {**folder.provenance(), "hardware": {"gpus": ["V100 (fabricated)"] * 8}}
    folder.write_provenance({**provenance, "generator_multiply_adds": round(181e9 * scale)}, 1)
    folder.metrics_file.write_text(json.dumps({"step": 50, "memory_mib": 14_300 * scale}) + "\n", encoding="utf-8")
    fake.judge(label, seed, place, images=_images(dataset), **_scores(dataset, fake.study, label, random, fid=fid))


def _images(dataset: StudyDataset) -> int:
    assert dataset.ref.val_images is not None
    return dataset.ref.val_images


def _scores(
    dataset: StudyDataset, study: Study, label: str, random: np.random.Generator, *, fid: bool
) -> dict[str, float | str]:
    protocol = get_protocol(dataset.protocol)
    found: dict[str, float | str] = {}
    for metric in protocol.metrics:
        counterpart = counterpart_of(metric, protocol)
        base = None
        for table in (study.published_table, "Table 1"):
            cell = counterpart and published_cell(
                table or "", label, dataset.published_dataset or "", counterpart.metric
            )
            base = base if base is not None or not cell else cell.value
        base = base if base is not None else 40.0
        value = base + random.normal(-0.3, 0.5)
        found[metric] = value if fid or "@tf" not in metric else MISSING
    return found


def _judge_real(fake: FakeStore, place: int) -> None:
    dataset = fake.study.datasets[place]
    scores: dict[str, float | str] = {}
    for metric in get_protocol(dataset.protocol).metrics:
        scores[metric] = {"mIoU": 41.7, "accu@labelled": 68.9, "accu@all": 63.2}.get(metric, 0.0)
    fake.judge(None, 0, place, images=_images(dataset), **scores)


def _write_counts(fake: FakeStore, label: str, place: int, random: np.random.Generator, images: int | None) -> None:
    """Per-image counts, and the scores that follow from them in place of those of the evaluation."""
    dataset = fake.study.datasets[place]
    spec = evaluation_of(fake.run_spec(label, 0, place), dataset)
    found = fake.store.evaluation(spec.eval_id)
    assert found is not None
    count = images or found.images
    write_counts(fake.store, found, random, count, quality=0.45 if "pix2pix" in label else 0.7)


def write_counts(
    store: Store, found: Evaluation, random: np.random.Generator, images: int, *, quality: float
) -> Evaluation:
    """Draw counts of ``images`` images, ``quality`` the share of right pixels, and the evaluation that they give."""
    image = np.repeat(np.arange(images), 4)
    true = random.integers(0, CLASSES, len(image))
    pixels = random.integers(200, 30_000, len(image))
    right = np.round(pixels * np.clip(random.normal(quality, 0.2, len(image)), 0, 1)).astype(np.int64)
    wrong = (true + random.integers(1, CLASSES, len(image))) % CLASSES
    rows = np.concatenate(
        [np.stack([image, true, true, right], axis=1), np.stack([image, true, wrong, pixels - right], axis=1)]
    )
    rows = rows[rows[:, 3] > 0]
    total = np.zeros((CLASSES + 1, CLASSES), np.int64)
    np.add.at(total, (rows[:, 1], rows[:, 2]), rows[:, 3])
    class_of = [*range(CLASSES), None]
    scores = segmentation_scores(total, class_of, get_protocol(found.spec.protocol).class_mean)
    path = store.confusion_file(found.eval_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        total=total,
        per_image=rows,
        sample_ids=np.array([f"fabricated_{number:05d}" for number in range(images)]),
        class_of=np.array([-1 if place is None else place for place in class_of]),
        classes=np.array([f"class {number}" for number in range(CLASSES)]),
    )
    judged = {
        "mIoU": scores.mean_iou,
        "accu@all": scores.accuracy_all,
        "accu@labelled": scores.accuracy_labelled,
    }
    changed = {name: Score(value=value) for name, value in judged.items() if name in found.scores}
    evaluation = replace(found, images=images, scores={**found.scores, **changed})
    store.write_evaluation(evaluation)
    return evaluation


def _import_sims(fake: FakeStore, place: int) -> None:
    """Images of another system, judged here: an evaluation of its own, no run."""
    dataset = fake.study.datasets[place]
    spec = replace(evaluation_of(None, dataset), subject="external:SIMS", run_id="0011223344ff")
    scores = {name: Score(value=47.5) for name in get_protocol(dataset.protocol).metrics}
    fake.store.write_evaluation(
        Evaluation(
            eval_id=spec.eval_id,
            spec=spec,
            images=_images(dataset),
            step=None,
            scores=scores,
            class_iou={},
            class_pixels={},
            provenance={"commit": "abcdef0123456789", "dirty": False},
        )
    )


def main(folder: Path) -> None:
    """Write every format of both reports under ``folder``."""
    from rich.console import Console

    from bench.reporting.options import ReportOptions

    for name, make in (("table1", fabricate_table_1), ("table3", fabricate_table_3)):
        fake = make(folder / "stores" / name)
        options = ReportOptions(external=True)
        report(fake.study, fake.store, folder / name, tuple(FILES), options=options)
        with (folder / name / "terminal.txt").open("w", encoding="utf-8") as stream:
            report(fake.study, fake.store, None, ["terminal"], options=options, console=Console(file=stream, width=180))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
