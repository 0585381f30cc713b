"""Table 1 of the paper: SPADE beside CRN, SIMS and pix2pixHD, by mIoU, accuracy and FID, on four data sets.

What it reproduces: all rows and columns of Table 1. SIMS is imported, as in the paper (ADE20K-outdoor and Cityscapes):
`import-images --variant SIMS`; `sims` makes such images too, by our reconstruction. A data set without a folder is left
out.

Data: --data coco_stuff=DIR --data ade20k=DIR --data ade20k_outdoor=DIR --data cityscapes=DIR, or
SPADE_BENCH_DATA_<NAME>.
Weights: vgg19 and vgg19-caffe (training), each protocol's judge and Inceptions; `doctor --protocol P` tells.
Command: ./run_study.py plan table1 --data coco_stuff=DIR, then run.
Cost: 12 runs at batch 32 (CRN: 8); the authors used 8 V100 GPUs for each. Not measured by us; `plan table1` and
`cluster cost table1` tell from your own GPUs' speed.
Expected: the published cells, which every report prints beside ours. SPADE's mIoU on COCO-Stuff is 37.4 here and 35.2
in Tables 3 to 5.
"""

from __future__ import annotations

from bench.study import Study
from studies._paper import FOUR, paper_study
from studies._table1 import CRN_NOTE, IMPORTS, table_1_rows


def study() -> Study:
    """Three trained rows and an imported one, on four data sets, one seed."""
    return paper_study(
        "table1",
        "Table 1: SPADE beside the systems before it",
        "Does SPADE beat CRN, SIMS and pix2pixHD?",
        table_1_rows(),
        FOUR,
        imports=IMPORTS,
        further_note=CRN_NOTE,
    )
