r"""Table 2 in miniature: the questions of the human study, about images of the embedded synthetic world.

What it reproduces: the way from trainings to a page of questions and from answers to a table, with one seed of
``table1_small``'s rows. The answers come from people here too: nothing stands in for them, so the table is empty until
somebody answers.

Command: ./run_study.py run table2_small, then
    ./run_study.py human make --ours SPADE=spade-decoder-synthetic-64x64-seed0 --against CRN=crn-synthetic-64x64-seed0 \
        --against pix2pixHD=pix2pixhd-synthetic-64x64-seed0 --questions 100 --out DIR
    ./run_study.py human score ANSWERS.csv --study DIR
A run may be named by a part of its folder's name. A comparison has at most 200 questions, one a validation map.
SIMS joins as --against SIMS=DIR, the folder that `sims synthesize` filled.
Cost: 3 runs, those of table1_small for seed 0, of about a minute each on 2 CPU cores.
Expected: on photographs SPADE is preferred in 51.52 to 86.64 % of the answers; on synthetic scenes nobody has asked.
"""

from __future__ import annotations

from bench.study import Study
from studies._scaled import small_study
from studies._table1 import CRN_SMALL_NOTE, IMPORTS, table_1_small_rows


def study() -> Study:
    """The rows of ``table1_small``, one seed: images to ask about."""
    return small_study(
        name="table2_small",
        title="Images for Table 2 in miniature: which do people prefer",
        question="Which of two images looks more like a real one of the label map?",
        rows=table_1_small_rows(),
        table="Table 1",
        imports=IMPORTS,
        further_note=CRN_SMALL_NOTE,
    )
