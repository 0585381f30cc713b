"""What the studies at the paper's size share: its data sets, epochs, batch and ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from baselines.recipe import CODE
from baselines.registry import get_variant
from baselines.switches import switched
from bench.data.dataset import DatasetError
from bench.data.opening import dataset_ref, open_split
from bench.data.registry import dataset_spec
from bench.run_spec import Training
from bench.study import Row, Study, StudyDataset

RANKS = 8
"""GPUs of each run in the paper (section 4)."""


@dataclass(frozen=True, kw_only=True)
class PaperDataset:
    """A data set of the paper: our name, the published one, and the protocol of its scores."""

    name: str
    published: str
    protocol: str


COCO_STUFF = PaperDataset(name="coco_stuff", published="COCO-Stuff", protocol="paper2019-coco")
ADE20K = PaperDataset(name="ade20k", published="ADE20K", protocol="paper2019-ade20k")
ADE20K_OUTDOOR = PaperDataset(name="ade20k_outdoor", published="ADE20K-outdoor", protocol="paper2019-ade20k-outdoor")
CITYSCAPES = PaperDataset(name="cityscapes", published="Cityscapes", protocol="paper2019-cityscapes")
THREE = (COCO_STUFF, ADE20K, CITYSCAPES)
FOUR = (COCO_STUFF, ADE20K, ADE20K_OUTDOOR, CITYSCAPES)


def paper_row(label: str, name: str, *switches: str) -> Row:
    """The published row ``label``: variant ``name`` with ``switches`` thrown, trained by its first recipe."""
    variant = switched(get_variant(name), switches)
    return Row(label=label, variant=variant, recipe=variant.recipe(), published_method=label)


def paper_study(
    name: str,
    title: str,
    question: str,
    rows: Sequence[Row],
    datasets: Sequence[PaperDataset] = THREE,
    *,
    table: str | None = None,
    imports: tuple[str, ...] = (),
    further_note: str = "",
) -> Study:
    """A table of the paper at its size, on those of its data sets whose folders are known, one seed.

    A data set without a folder (``--data NAME=DIR`` or its environment variable) is left out, and the report says so.
    ``table`` is the published table (None: what the title begins with), ``imports`` are systems whose pictures are
    imported. Raises DatasetError where none has one, and for what is wrong with a folder that was given.
    """
    with_folder = [item for item in datasets if _has_folder(item)]
    left_out = [item.published for item in datasets if item not in with_folder]
    if not with_folder:
        names = ", ".join(item.name for item in datasets)
        raise DatasetError(
            f"study {name!r}: no folder of any of its data sets is known ({names}). Give those that you have, with "
            f"--data NAME=DIR for each, or set {dataset_spec(datasets[0].name).root_variable} and its like"
        )
    note = f"Left out, since no folder was given: {', '.join(left_out)}." if left_out else ""
    return Study(
        name=name,
        title=title,
        question=question,
        rows=tuple(rows),
        datasets=tuple(_dataset(item) for item in with_folder),
        ranks=RANKS,
        imports=imports,
        published_table=table or title.partition(":")[0],
        scale_note=" ".join(part for part in (further_note, note) if part),
    )


def _has_folder(item: PaperDataset) -> bool:
    return dataset_spec(item.name).root_given


def _dataset(item: PaperDataset) -> StudyDataset:
    """The data set with the paper's length of training: epochs by data set, batch 32."""
    ref = dataset_ref(item.name)
    schedule = CODE.schedules[item.name]
    steps = math.ceil(schedule.epochs * len(open_split(ref, "train")) / CODE.batch_images)
    training = Training(
        steps=steps,
        batch_images=CODE.batch_images,
        decay=True,
        save_every_steps=2000,
        sample_every_steps=2000,
        loader_workers=8,
    )
    return StudyDataset(ref=ref, training=training, protocol=item.protocol, published_dataset=item.published)
