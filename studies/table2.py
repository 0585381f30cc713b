"""Table 2 of the paper: which images people prefer. It trains and judges Table 1's rows; `human` asks the people.

What it reproduces: the images that the study is about (the runs are Table 1's), on four data sets. Preferences come
from people: `human make` writes the questions (500 a comparison, 5 raters each, as in the paper), `human score` the
table.

Data, weights: as for table1.
Command: ./run_study.py run table2 --data cityscapes=DIR, then for each data set
    ./run_study.py human make --dataset cityscapes --ours SPADE=RUN --against CRN=RUN --against pix2pixHD=RUN --out DIR
    ./run_study.py human score ANSWERS.csv --study DIR
Cost: no run beyond Table 1's; 2,500 answers a comparison.
Expected: SPADE preferred in 51.52 % (SIMS, Cityscapes) to 86.64 % (pix2pixHD, COCO-Stuff) of the answers.
"""

from __future__ import annotations

from bench.study import Study
from studies._paper import FOUR, paper_study
from studies._table1 import CRN_NOTE, IMPORTS, table_1_rows


def study() -> Study:
    """The rows of Table 1, whose images the human study compares."""
    return paper_study(
        "table2",
        "Images for Table 2: which do people prefer",
        "Which of two images looks more like a photograph of the label map?",
        table_1_rows(),
        FOUR,
        table="Table 1",
        imports=IMPORTS,
        further_note=CRN_NOTE,
    )
