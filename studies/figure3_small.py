"""Figure 3 in miniature: maps of a single label through trained networks, on the embedded synthetic world.

What it reproduces: the question. SPADE, Concat, pix2pixHD++ and pix2pixHD at width 8 and 64 px, 250 steps (see
``scale_note``); the runs are the quickstart's.

Command: ./run_study.py run figure3_small, then
    ./run_study.py figure3 --run spade-decoder-synthetic-64x64-seed0 --run concat-decoder-synthetic-64x64-seed0 \\
        --run pix2pixhd-pp-synthetic-64x64-seed0 --run pix2pixhd-synthetic-64x64-seed0
Cost: 4 runs of about a minute each on 2 CPU cores, none beyond the quickstart's.
"""

from __future__ import annotations

from bench.study import Study
from studies._scaled import small_row, small_study


def study() -> Study:
    """Four rows of the quickstart, one seed."""
    return small_study(
        name="figure3_small",
        title="Figure 3 in miniature",
        question="Does the normalization wash a uniform label map away?",
        rows=[
            small_row("decoder w/ SPADE (Ours)", "spade-decoder", {"width": 8, "hidden": 32}),
            small_row("decoder w/ Concat", "concat-decoder", {"width": 8}),
            small_row("pix2pixHD++", "pix2pixhd-pp", {"width": 8}),
            small_row("pix2pixHD", "pix2pixhd", {"width": 8}),
        ],
        table="Table 3",
    )
