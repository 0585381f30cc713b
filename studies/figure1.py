"""Figure 1 of the paper: one label map in the styles of several photographs, at full size.

What it reproduces: the kind of picture, not the pictures. It trains the decoder with the image encoder and judges it;
`synthesize` draws the figure from the run, which figure9 shares.

Data: COCO-Stuff, --data coco_stuff=DIR (which data set the figure shows is not known to us). Weights: vgg19 (training).
Command: ./run_study.py run figure1 --data coco_stuff=DIR, then
    ./run_study.py synthesize --run spade-decoder-encoder-coco_stuff --labels MAPS --style A.jpg --style B.jpg
Cost: one run of 100 epochs at batch 32 and 256 px; the authors used 8 V100 GPUs. Not measured by us.
Expected: no number is published; the scores of the run stand in the report, drawn from random z.
"""

from __future__ import annotations

from bench.study import Study
from studies._styled import styled_study


def study() -> Study:
    """The decoder with the image encoder on COCO-Stuff, one seed."""
    return styled_study(
        "figure1", "Figure 1: a label map in the styles of images", "Does a style image decide the look?"
    )
