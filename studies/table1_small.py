"""Table 1 in miniature: CRN, pix2pixHD and SPADE on the embedded synthetic world.

What it reproduces: the question of Table 1 for its trained rows. Not its numbers: width 8 instead of 64 (CRN: at most
64 features instead of 1,024), 64 px, 250 steps (see ``scale_note``). CRN's loss compares features of
EfficientNet-Lite0 in place of VGG19's, whose weights cannot come with the project. SIMS stands in it once its images
are imported (`sims`, then `import-images --variant SIMS --dataset synthetic`).

Command: ./run_study.py run table1_small
Cost: 3 runs a seed, of about a minute each on 2 CPU cores; two of them are the quickstart's too.
"""

from __future__ import annotations

from bench.study import Study
from studies._scaled import small_study
from studies._table1 import CRN_SMALL_NOTE, IMPORTS, table_1_small_rows


def study() -> Study:
    """Three trained rows at an eighth of their width and an imported one, three seeds."""
    return small_study(
        name="table1_small",
        title="Table 1 in miniature",
        question="Does SPADE beat CRN, SIMS and pix2pixHD?",
        rows=table_1_small_rows(),
        table="Table 1",
        seeds=(0, 1, 2),
        imports=IMPORTS,
        further_note=CRN_SMALL_NOTE,
    )
