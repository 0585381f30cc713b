"""Table 4 of the paper: variations of the SPADE generator: input, kernel size, capacity, parameter-free norm.

What it reproduces: the eleven rows of Table 4. The settings that the paper uses are one and the same run (segmap input
= 3x3 = 96M = Sync BatchNorm), which is trained once. Of the paper's cells we know those that Table 3 implies; the
others stay blank, since we do not know their numbers.

Data: --data coco_stuff=DIR --data ade20k=DIR --data cityscapes=DIR, or SPADE_BENCH_DATA_<NAME>.
Weights: vgg19 (training), each protocol's judge and inception-fid; `doctor --protocol P` tells what is missing.
Command: ./run_study.py plan table4 --data coco_stuff=DIR, then run.
Cost: 24 runs (8 different settings on three data sets), 6 of which Table 3 has too. Not measured by us; `cluster cost
table4` tells from your own GPUs' speed.
Expected: a kernel of 1x1 hurts (text); 61M: 35.2, 38.0, 62.5 and 96M: 35.2, 38.5, 62.3 (implied by Table 3).
"""

from __future__ import annotations

from bench.study import Study
from studies._paper import paper_row, paper_study

ROWS = (
    ("segmap input", "spade-decoder"),
    ("random input", "spade-decoder-random-input"),
    ("5x5", "spade-decoder-kernel-5"),
    ("3x3", "spade-decoder"),
    ("1x1", "spade-decoder-kernel-1"),
    ("141M", "spade-decoder-141m"),
    ("96M", "spade-decoder"),
    ("61M", "spade-decoder-compact"),
    ("Sync BatchNorm", "spade-decoder"),
    ("BatchNorm", "spade-decoder-batch-norm"),
    ("InstanceNorm", "spade-decoder-instance-norm"),
)


def study() -> Study:
    """Eleven rows, eight different settings, on three data sets, one seed."""
    return paper_study(
        "table4",
        "Table 4: input, kernel, capacity and norm of the SPADE generator",
        "Which of the generator's choices matter?",
        [paper_row(label, name) for label, name in ROWS],
    )
