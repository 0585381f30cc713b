"""Table 5 of the paper (appendix): each technique taken out of SPADE and of pix2pixHD++, one at a time.

What it reproduces: the nine rows of Table 5 (mIoU on COCO-Stuff, ADE20K and Cityscapes). Four of them are rows of
Table 3 and share its runs.

Data: --data coco_stuff=DIR --data ade20k=DIR --data cityscapes=DIR, or SPADE_BENCH_DATA_<NAME>.
Weights: vgg19 (training), each protocol's judge and inception-fid; `doctor --protocol P` tells what is missing.
Command: ./run_study.py plan table5 --data coco_stuff=DIR, then run.
Cost: 27 runs, 12 of which Table 3 has too. Not measured by us; `cluster cost table5` tells from your own GPUs' speed.
Expected: the published cells; without the perceptual loss 24.7, 30.1, 57.4, the largest fall of the rows with SPADE.
"""

from __future__ import annotations

from bench.study import Study
from studies._paper import paper_row, paper_study

ROWS = (
    ("Ours", "spade-decoder"),
    ("Ours w/o Perceptual loss", "spade-decoder-no-perceptual"),
    ("Ours w/o GAN feature matching loss", "spade-decoder-no-feature-matching"),
    ("Ours w/ a deeper discriminator", "spade-decoder-deeper-discriminator"),
    ("pix2pixHD++ w/ SPADE", "pix2pixhd-pp-spade"),
    ("pix2pixHD++", "pix2pixhd-pp"),
    ("pix2pixHD++ w/o Sync BatchNorm", "pix2pixhd-pp-no-sync-batch-norm"),
    ("pix2pixHD++ w/o Sync BatchNorm and w/o Spectral Norm", "pix2pixhd-pp-no-sync-batch-norm-no-spectral-norm"),
    ("pix2pixHD", "pix2pixhd"),
)


def study() -> Study:
    """Nine rows on three data sets, one seed."""
    return paper_study(
        "table5",
        "Table 5: each technique taken out",
        "How much does each technique add, beside SPADE itself?",
        [paper_row(label, name) for label, name in ROWS],
    )
