"""Table 4 in miniature: input, kernel, capacity and norm of the SPADE generator, on the embedded synthetic world.

What it reproduces: the question of Table 4 in all of its rows. Not its numbers: width 8 instead of 64, 64 px, 250 steps
(see ``scale_note``). Most of the paper's cells are unknown to us and stay blank. The batch norm of each rank alone
needs two ranks to differ from the synchronised one: the local backend starts them.

Command: ./run_study.py run table4_small --backend local
Cost: 8 different runs a seed, of about a minute each on 2 CPU cores.
"""

from __future__ import annotations

from bench.study import Study
from studies._scaled import BATCH_IMAGES, small_row, small_study

RANKS = 2
SPADE = {"width": 8, "hidden": 32}
ROWS = (
    ("segmap input", "spade-decoder", SPADE),
    ("random input", "spade-decoder-random-input", SPADE),
    ("5x5", "spade-decoder-kernel-5", SPADE),
    ("3x3", "spade-decoder", SPADE),
    ("1x1", "spade-decoder-kernel-1", SPADE),
    ("141M", "spade-decoder-141m", {"width": 10, "hidden": 32}),
    ("96M", "spade-decoder", SPADE),
    ("61M", "spade-decoder-compact", {"width": 6, "hidden": 32}),
    ("Sync BatchNorm", "spade-decoder", SPADE),
    ("BatchNorm", "spade-decoder-batch-norm", SPADE),
    ("InstanceNorm", "spade-decoder-instance-norm", SPADE),
)


def study() -> Study:
    """Eleven rows of Table 4, eight different settings, at an eighth of their width, three seeds."""
    return small_study(
        name="table4_small",
        title="Table 4 in miniature",
        question="Which of the generator's choices matter?",
        rows=[small_row(label, name, settings) for label, name, settings in ROWS],
        table="Table 4",
        ranks=RANKS,
        seeds=(0, 1, 2),
        further_note=(
            f"The rows named 141M and 61M have widths 10 and 6 instead of 80 and 48; BatchNorm is over the "
            f"{BATCH_IMAGES // RANKS} images of each of {RANKS} ranks (paper: 4 of 8)."
        ),
    )
