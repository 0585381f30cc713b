"""Quickstart: Table 3 in miniature, on the embedded synthetic world, in minutes on a laptop.

What it reproduces: the question of Table 3 in six of its rows, two architectures each with SPADE, with Concat and with
neither. Not its numbers: width 8 instead of 64, 64 px, 250 steps (see ``scale_note``).

Command: make quickstart, or ./run_study.py run quickstart [--seeds 0,1,2]
Cost, measured: 7 min 1 s for one seed on 2 cores of an AMD EPYC without a GPU, report included; a row trains for 39 s
(pix2pixHD) to 98 s (pix2pixHD++ w/ SPADE) and is judged in 4 to 5 s.
Measured, 3 seeds, mean and half of the 95 % interval (results/small/table3, whose runs these are), mIoU in percent:

    decoder w/ SPADE        38.0 +- 2.3        pix2pixHD++ w/ Concat   12.7 +- 7.6
    decoder w/ Concat       44.5 +- 8.8        pix2pixHD++             15.7 +- 8.5
    pix2pixHD++ w/ SPADE    25.8 +- 10.3       pix2pixHD               14.5 +- 15.5
    real images             87.8

So at this scale the decoder is far ahead of the encoder-decoder, SPADE lifts the encoder-decoder and Concat does not,
and between SPADE and Concat in the decoder, and between pix2pixHD++ and pix2pixHD, nothing can be told apart.
"""

from __future__ import annotations

from bench.study import Study
from studies._scaled import small_row, small_study

ROWS = (
    ("decoder w/ SPADE (Ours)", "spade-decoder", {"width": 8, "hidden": 32}),
    ("decoder w/ Concat", "concat-decoder", {"width": 8}),
    ("pix2pixHD++ w/ SPADE", "pix2pixhd-pp-spade", {"width": 8, "hidden": 32}),
    ("pix2pixHD++ w/ Concat", "pix2pixhd-pp-concat", {"width": 8}),
    ("pix2pixHD++", "pix2pixhd-pp", {"width": 8}),
    ("pix2pixHD", "pix2pixhd", {"width": 8}),
)


def study() -> Study:
    """Six rows of Table 3 at an eighth of their width: with SPADE, with Concat, with neither."""
    return small_study(
        name="quickstart",
        title="Quickstart: Table 3 in miniature",
        question="Does modulation by the label map beat feeding the label map in, at equal training?",
        rows=[small_row(label, name, settings) for label, name, settings in ROWS],
        table="Table 3",
    )
