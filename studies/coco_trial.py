"""A trial on a handful of real COCO-Stuff pairs: does everything work on real files, from reading to the report?

What it shows: the released code's folder layout, 182 classes with don't care and instance edges (184 channels), the
released preprocessing, training, generation and the report, on as few pairs as you have. Its scores mean nothing: a few
steps on a few images. Scores whose judge is not on the machine are shown as n/a with the name of the missing file.

Data: a folder with {train,val}_{img,label,inst}, such as the samples that come with the released SPADE code.
Command: ./run_study.py run coco_trial --data coco_stuff=DIR
Cost: about two minutes on 2 CPU cores.
"""

from __future__ import annotations

from bench.data.opening import dataset_ref
from bench.run_spec import Training
from bench.study import Study, StudyDataset
from studies._scaled import scaled_row

STEPS = 12
BATCH_IMAGES = 4
SIZE = (64, 64)
ROWS = (
    ("decoder w/ SPADE (Ours)", "spade-decoder", {"width": 8, "hidden": 32}),
    ("pix2pixHD++", "pix2pixhd-pp", {"width": 8}),
    ("pix2pixHD", "pix2pixhd", {"width": 8}),
)


def study() -> Study:
    """Three rows of Table 3 at an eighth of their width, 12 steps at 64 px."""
    rows = [scaled_row(label, name, settings, discriminator_width=16) for label, name, settings in ROWS]
    training = Training(
        steps=STEPS,
        batch_images=BATCH_IMAGES,
        save_every_steps=6,
        sample_every_steps=6,
        log_every_steps=3,
    )
    return Study(
        name="coco_trial",
        title="Trial on real COCO-Stuff pairs",
        question="Does the harness read, train on, generate from and report real pairs?",
        rows=tuple(rows),
        datasets=(
            StudyDataset(
                ref=dataset_ref("coco_stuff", size=SIZE),
                training=training,
                protocol="paper2019-coco",
            ),
        ),
        published_table=None,
        scale_note=(
            f"A trial of the path, not a measurement: {STEPS} steps of {BATCH_IMAGES} images at {SIZE[1]}x{SIZE[0]} "
            f"px, generators of width 8 instead of 64, discriminators of width 16, no perceptual loss."
        ),
    )
