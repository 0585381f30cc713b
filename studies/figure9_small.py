"""Figures 1 and 9 in miniature, on the embedded synthetic world: several samples and styles of one label map.

What it reproduces: the kind of picture. Width 8 instead of 64, 64 px, 600 steps (see ``scale_note``).

Command: ./run_study.py run figure9_small, then
    ./run_study.py synthesize --run spade-decoder-encoder-synthetic --val-maps 4 --samples 5
    ./run_study.py synthesize --run spade-decoder-encoder-synthetic --val-maps 4 --style A.png --style B.png
Cost: 600 steps of 8 images; 3 to 6 images a second on one core of a machine that was busy with other work.
Measured (seed 0, results/small/figure9): mIoU 56.1 (real images 87.9), accu@all 76.0,
FD@synthetic-judge 3.89, FD@efficientnet-lite0 276.5 on 100 validation scenes; KL divergence 2.1 nats an image at the
end; over 4 validation maps of 5 samples each L1@pixels 0.1035, L2@efficientnet-lite0 7.80. A style image decides light
and colour (docs/synthesis.md shows it); samples around one style differ little.
"""

from __future__ import annotations

from dataclasses import replace

from baselines.registry import get_variant
from baselines.variant import Variant
from bench.data.opening import dataset_ref
from bench.run_spec import Training
from bench.study import Row, Study, StudyDataset
from spade_core.settings import DiscriminatorSettings, EncoderSettings
from studies._styled import LABEL, VARIANT

STEPS = 600
BATCH_IMAGES = 8
SIZE = (64, 64)


def study() -> Study:
    """The decoder with the image encoder at an eighth of its width, one seed."""
    variant: Variant = get_variant(VARIANT).scaled(width=8)
    recipe = replace(
        variant.recipe(),
        perceptual_weight=0.0,
        discriminator=DiscriminatorSettings(width=16),
        encoder=EncoderSettings(width=8),
    )
    return Study(
        name="figure9_small",
        title="Figures 1 and 9 in miniature",
        question="Do samples of z look different, and does a style image decide the look?",
        rows=(Row(label=LABEL, variant=variant, recipe=recipe),),
        datasets=(
            StudyDataset(
                ref=dataset_ref("synthetic", size=SIZE, train_images=2000, val_images=100),
                training=Training(
                    steps=STEPS,
                    batch_images=BATCH_IMAGES,
                    save_every_steps=100,
                    sample_every_steps=200,
                    log_every_steps=25,
                ),
                protocol="synthetic",
            ),
        ),
        scale_note=(
            f"Scaled down: synthetic scenes at {SIZE[1]}x{SIZE[0]} px instead of photographs at 256x256, generator and "
            f"encoder of width 8 instead of 64, discriminators of width 16 instead of 64, {STEPS} steps of "
            f"{BATCH_IMAGES} images, no perceptual loss."
        ),
    )
