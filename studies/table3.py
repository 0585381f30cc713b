"""Table 3 of the paper on COCO-Stuff: the eight generators at full size, by the released recipe.

What it reproduces: the COCO-Stuff column of Table 3 (mIoU of eight generators; 35.2 for the decoder with SPADE, 14.6
for pix2pixHD). The ADE20K and Cityscapes columns wait for their protocols.

Data: COCO-Stuff in the released code's layout, --data coco_stuff=DIR or SPADE_BENCH_DATA_COCO_STUFF.
Weights: vgg19 (training), deeplabv2-cocostuff164k and inception-fid (judging); see `list weights`.
Command: ./run_study.py plan table3 --data coco_stuff=DIR, then run.
Cost: 8 runs of 100 epochs at batch 32 and 256 px; the authors used 8 V100 GPUs for each. Not measured by us.
Expected: the published cells, which every report prints beside ours.
"""

from __future__ import annotations

import math

from baselines.recipe import CODE
from baselines.registry import get_variant
from bench.data.opening import dataset_ref, open_split
from bench.run_spec import Training
from bench.study import Row, Study, StudyDataset

ROWS = (
    ("decoder w/ SPADE (Ours)", "spade-decoder"),
    ("compact decoder w/ SPADE", "spade-decoder-compact"),
    ("decoder w/ Concat", "concat-decoder"),
    ("pix2pixHD++ w/ SPADE", "pix2pixhd-pp-spade"),
    ("pix2pixHD++ w/ Concat", "pix2pixhd-pp-concat"),
    ("pix2pixHD++", "pix2pixhd-pp"),
    ("compact pix2pixHD++", "pix2pixhd-pp-compact"),
    ("pix2pixHD", "pix2pixhd"),
)


def study() -> Study:
    """Eight rows on COCO-Stuff, one seed."""
    ref = dataset_ref("coco_stuff")
    variants = [(label, get_variant(name)) for label, name in ROWS]
    epochs, batch_images = CODE.schedules["coco_stuff"].epochs, CODE.batch_images
    training = Training(
        steps=math.ceil(epochs * len(open_split(ref, "train")) / batch_images),
        batch_images=batch_images,
        decay=True,
        save_every_steps=2000,
        sample_every_steps=2000,
        loader_workers=8,
    )
    return Study(
        name="table3",
        title="Table 3: which generator, at which size",
        question="Does modulation by the label map beat feeding the label map in, at equal capacity?",
        rows=tuple(
            Row(label=label, variant=variant, recipe=variant.recipe(), published_method=label)
            for label, variant in variants
        ),
        datasets=(
            StudyDataset(
                ref=ref,
                training=training,
                protocol="paper2019-coco",
                published_dataset="COCO-Stuff",
            ),
        ),
        ranks=8,
        published_table="Table 3",
    )
