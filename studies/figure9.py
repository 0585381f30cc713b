"""Figure 9 of the paper: several images of one label map, at full size.

What it reproduces: the kind of picture, not the pictures. It trains the decoder with the image encoder and judges it;
`synthesize` draws the figure from the run, which figure1 shares, and measures how different the images are.

Data: COCO-Stuff, --data coco_stuff=DIR (which data set the figure shows is not known to us). Weights: vgg19
(training), alexnet (for LPIPS between the images).
Command: ./run_study.py run figure9 --data coco_stuff=DIR, then
    ./run_study.py synthesize --run spade-decoder-encoder-coco_stuff --val-maps 6 --samples 6
Cost: one run of 100 epochs at batch 32 and 256 px; the authors used 8 V100 GPUs. Not measured by us.
Expected: no number is published; the scores of the run stand in the report, drawn from random z.
"""

from __future__ import annotations

from bench.study import Study
from studies._styled import styled_study


def study() -> Study:
    """The decoder with the image encoder on COCO-Stuff, one seed."""
    return styled_study("figure9", "Figure 9: several images of one label map", "Do samples of z look different?")
