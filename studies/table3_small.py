"""Table 3 in miniature with three seeds: all eight rows, on the embedded synthetic world, on a laptop.

What it reproduces: the question of Table 3 in all of its rows. Not its numbers: width 8 (compact: 6) instead of 64
(48), 64 px, 250 steps (see ``scale_note``). Six of the rows are the quickstart's and share its runs.

Command: ./run_study.py run table3_small
Cost: 24 runs of about a minute each on 2 CPU cores.
"""

from __future__ import annotations

from bench.study import Study
from studies._scaled import small_row, small_study

ROWS = (
    ("decoder w/ SPADE (Ours)", "spade-decoder", {"width": 8, "hidden": 32}),
    ("compact decoder w/ SPADE", "spade-decoder-compact", {"width": 6, "hidden": 32}),
    ("decoder w/ Concat", "concat-decoder", {"width": 8}),
    ("pix2pixHD++ w/ SPADE", "pix2pixhd-pp-spade", {"width": 8, "hidden": 32}),
    ("pix2pixHD++ w/ Concat", "pix2pixhd-pp-concat", {"width": 8}),
    ("pix2pixHD++", "pix2pixhd-pp", {"width": 8}),
    ("compact pix2pixHD++", "pix2pixhd-pp-compact", {"width": 6}),
    ("pix2pixHD", "pix2pixhd", {"width": 8}),
)


def study() -> Study:
    """Eight rows of Table 3 at an eighth of their width, three seeds."""
    return small_study(
        name="table3_small",
        title="Table 3 in miniature",
        question="Does modulation by the label map beat feeding the label map in, at equal capacity?",
        rows=[small_row(label, name, settings) for label, name, settings in ROWS],
        table="Table 3",
        seeds=(0, 1, 2),
        further_note="The compact rows have width 6 instead of 48.",
    )
