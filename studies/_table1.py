"""The rows of Table 1, which Table 2 and Figure 5 share."""

from __future__ import annotations

from dataclasses import replace

from bench.study import Row
from studies._paper import RANKS, paper_row

IMPORTS = ("SIMS",)
"""Its authors provided images; the paper scored those, and so do we."""
CRN_NOTE = (
    f"CRN is trained with a batch of {RANKS} (its authors': 1; ours, so that each of {RANKS} GPUs has an image) and "
    f"its authors' learning rate, on as many images as the other rows."
)


def table_1_rows() -> tuple[Row, ...]:
    """CRN, pix2pixHD and SPADE as published; SIMS is imported."""
    return (
        replace(paper_row("CRN", "crn"), batch_images=RANKS),
        paper_row("pix2pixHD", "pix2pixhd"),
        paper_row("SPADE (Ours)", "spade-decoder"),
    )
