"""What the studies of figures 1 and 9 share: the decoder with the image encoder, whose run `synthesize` draws from."""

from __future__ import annotations

import math

from baselines.registry import get_variant
from bench.data.opening import dataset_ref, open_split
from bench.run_spec import Training
from bench.study import Row, Study, StudyDataset

VARIANT = "spade-decoder-encoder"
LABEL = "decoder w/ SPADE and image encoder"


def styled_study(name: str, title: str, question: str) -> Study:
    """The full-size run on COCO-Stuff by the released recipe; equal, and so shared, whatever the figure."""
    ref, variant = dataset_ref("coco_stuff"), get_variant(VARIANT)
    recipe = variant.recipe()
    epochs = recipe.schedules["coco_stuff"].epochs
    training = Training(
        steps=math.ceil(epochs * len(open_split(ref, "train")) / recipe.batch_images),
        batch_images=recipe.batch_images,
        decay=True,
        save_every_steps=2000,
        sample_every_steps=2000,
        loader_workers=8,
    )
    return Study(
        name=name,
        title=title,
        question=question,
        rows=(Row(label=LABEL, variant=variant, recipe=recipe),),
        datasets=(StudyDataset(ref=ref, training=training, protocol="paper2019-coco"),),
        ranks=8,
        scale_note="Data set and photographs of the published figure are not known to us; COCO-Stuff is our choice.",
    )
