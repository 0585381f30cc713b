"""Figures 5 and 6 of the paper: label map, each system's image and the real image, side by side.

The report's gallery draws them. What it reproduces: the kind of picture, for Table 1's rows (the runs are Table 1's) on
each data set at hand. Which validation images the paper shows is not known to us: `--gallery-rule` states which ours
are.

Data, weights: as for table1.
Command: ./run_study.py run figure5 --data coco_stuff=DIR, then ./run_study.py report figure5 --data coco_stuff=DIR
Cost: no run beyond Table 1's.
Expected: no number is published with these figures; the scores of the runs stand in the report.
"""

from __future__ import annotations

from bench.study import Study
from studies._paper import FOUR, paper_study
from studies._table1 import CRN_NOTE, IMPORTS, table_1_rows


def study() -> Study:
    """The rows of Table 1, for the report's gallery."""
    return paper_study(
        "figure5",
        "Figures 5 and 6: what each system makes of a label map",
        "How do the systems' images differ to the eye?",
        table_1_rows(),
        FOUR,
        table="Table 1",
        imports=IMPORTS,
        further_note=CRN_NOTE,
    )
