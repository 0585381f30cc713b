"""Figure 3 of the paper: maps of a single label, at full size: what a trained SPADE keeps and pix2pixHD washes out.

What it reproduces: the kind of picture. It trains and judges SPADE and pix2pixHD (the runs are Table 1's); the verb
`figure3` feeds them maps of one label and measures how far apart their outputs are. The verb needs no training to show
the mathematics: without --run it looks at untrained generators.

Data: COCO-Stuff, --data coco_stuff=DIR (which data set the figure shows is not known to us). Weights: vgg19 (training).
Command: ./run_study.py run figure3 --data coco_stuff=DIR, then
    ./run_study.py figure3 --run spade-decoder-coco_stuff --run pix2pixhd-coco_stuff
Cost: no run beyond Table 1's.
Expected: no number is published; with one label everywhere instance normalization leaves nothing of it (distance 0).
"""

from __future__ import annotations

from bench.study import Study
from studies._paper import COCO_STUFF, paper_row, paper_study


def study() -> Study:
    """SPADE and pix2pixHD on COCO-Stuff, one seed."""
    return paper_study(
        "figure3",
        "Figure 3: maps of a single label",
        "Does the normalization wash a uniform label map away?",
        (paper_row("SPADE (Ours)", "spade-decoder"), paper_row("pix2pixHD", "pix2pixhd")),
        (COCO_STUFF,),
        table="Table 1",
    )
