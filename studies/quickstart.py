"""Quickstart: Table 3 in miniature, on the embedded synthetic world.
"""

from __future__ import annotations

from dataclasses import replace

from baselines.registry import get_variant
from bench.data.opening import dataset_ref
from bench.run_spec import Training
from bench.study import Row, Study, StudyDataset
from spade_core.settings import DiscriminatorSettings

WIDTHS = {
    "spade-decoder": ("decoder w/ SPADE (Ours)", 8),
    "spade-decoder-compact": ("compact decoder w/ SPADE", 6),
    "concat-decoder": ("decoder w/ Concat", 8),
    "pix2pixhd-pp": ("pix2pixHD++", 8),
    "pix2pixhd-pp-compact": ("compact pix2pixHD++", 6),
    "pix2pixhd": ("pix2pixHD", 8),
}
STEPS = 300


def study() -> Study:
    rows = []
    for name, (label, width) in WIDTHS.items():
        variant = get_variant(name).scaled(width=width)
        recipe = variant.recipe()
        assert recipe.discriminator is not None
        small = replace(
            recipe,
            perceptual_weight=0.0,
            discriminator=replace(recipe.discriminator, width=16),
        )
        norm = getattr(variant.generator, "norm")
        training = Training(
            steps=STEPS,
            batch_images=8,
            norm_group_images=8 if norm != "instance" else None,
            save_every_steps=100,
            sample_every_steps=100,
            log_every_steps=25,
            keep_checkpoints=1,
        )
        rows.append(Row(label=label, variant=variant, recipe=small, training=training, published_method=label))
    assert rows[0].training is not None
    return Study(
        name="quickstart",
        title="Quickstart: Table 3 in miniature",
        question="Does modulation by the label map beat feeding the label map in, at equal training?",
        rows=tuple(rows),
        datasets=(
            StudyDataset(
                ref=dataset_ref("synthetic", size=(64, 64), train_images=2000, val_images=200),
                training=rows[0].training,
                protocol="synthetic",
            ),
        ),
        published_table="Table 3",
        scale_note="64 px",
    )
