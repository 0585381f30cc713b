"""Table 3 of the paper: eight generators, with SPADE, with Concat and with neither, by capacity.

What it reproduces: all rows and columns of Table 3 (mIoU of eight generators on COCO-Stuff, ADE20K and Cityscapes;
35.2, 38.5 and 62.3 for the decoder with SPADE, 14.6, 20.3 and 58.3 for pix2pixHD). A data set without a folder is left
out.

Data: --data coco_stuff=DIR --data ade20k=DIR --data cityscapes=DIR, or SPADE_BENCH_DATA_<NAME>.
Weights: vgg19 (training), each protocol's judge and inception-fid; `doctor --protocol P` tells what is missing.
Command: ./run_study.py plan table3 --data coco_stuff=DIR, then run.
Cost: 24 runs at batch 32 (100 epochs of COCO-Stuff, 200 of the others); the authors used 8 V100 GPUs for each. Not
measured by us; `cluster cost table3` tells from your own GPUs' speed.
Expected: the published cells, which every report prints beside ours.
"""

from __future__ import annotations

from bench.study import Study
from studies._paper import paper_row, paper_study

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
    """Eight rows on three data sets, one seed."""
    return paper_study(
        "table3",
        "Table 3: which generator, at which size",
        "Does modulation by the label map beat feeding the label map in, at equal capacity?",
        [paper_row(label, name) for label, name in ROWS],
    )
