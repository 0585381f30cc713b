"""Table 5 in miniature: each technique taken out, on the embedded synthetic world.

What it reproduces: the question of Table 5 in eight of its nine rows. The row without the perceptual loss is left out:
no small study has that loss (its weights cannot come with the project), so every row is already without it. Not the
paper's numbers: width 8 instead of 64, 64 px, 250 steps (see ``scale_note``). The batch norm of each rank alone needs
two ranks to differ from the synchronised one: the local backend starts them.

Command: ./run_study.py run table5_small --backend local
Cost: 8 runs a seed, of about a minute each on 2 CPU cores; four of them are the quickstart's too.
"""

from __future__ import annotations

from bench.study import Study
from studies._scaled import BATCH_IMAGES, small_row, small_study

RANKS = 2
SPADE = {"width": 8, "hidden": 32}
PLAIN = {"width": 8}
ROWS = (
    ("Ours", "spade-decoder", SPADE),
    ("Ours w/o GAN feature matching loss", "spade-decoder-no-feature-matching", SPADE),
    ("Ours w/ a deeper discriminator", "spade-decoder-deeper-discriminator", SPADE),
    ("pix2pixHD++ w/ SPADE", "pix2pixhd-pp-spade", SPADE),
    ("pix2pixHD++", "pix2pixhd-pp", PLAIN),
    ("pix2pixHD++ w/o Sync BatchNorm", "pix2pixhd-pp-no-sync-batch-norm", PLAIN),
    (
        "pix2pixHD++ w/o Sync BatchNorm and w/o Spectral Norm",
        "pix2pixhd-pp-no-sync-batch-norm-no-spectral-norm",
        PLAIN,
    ),
    ("pix2pixHD", "pix2pixhd", PLAIN),
)


def study() -> Study:
    """Eight rows of Table 5 at an eighth of their width, three seeds."""
    return small_study(
        name="table5_small",
        title="Table 5 in miniature",
        question="How much does each technique add, beside SPADE itself?",
        rows=[small_row(label, name, settings) for label, name, settings in ROWS],
        table="Table 5",
        ranks=RANKS,
        seeds=(0, 1, 2),
        further_note=(
            f"Without Sync BatchNorm, batch norm is over the {BATCH_IMAGES // RANKS} images of each of {RANKS} ranks "
            f"(paper: 4 of 8)."
        ),
    )
