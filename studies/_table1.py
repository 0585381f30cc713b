"""The rows of Table 1, which Table 2 and Figure 5 share, as published and in miniature."""

from __future__ import annotations

from dataclasses import replace

from baselines.registry import get_variant
from bench.study import Row
from studies._paper import RANKS, paper_row
from studies._scaled import DISCRIMINATOR_WIDTH, RATES, row_of, small_row

IMPORTS = ("SIMS",)
"""Its authors provided images; the paper scored those, and so do we."""
CRN_NOTE = (
    f"CRN is trained with a batch of {RANKS} (its authors': 1; ours, so that each of {RANKS} GPUs has an image) and "
    f"its authors' learning rate, on as many images as the other rows."
)

CRN_SMALL_NOTE = "CRN has at most 64 features instead of 1,024 and sees as many images."


def table_1_rows() -> tuple[Row, ...]:
    """CRN, pix2pixHD and SPADE as published; SIMS is imported."""
    return (
        replace(paper_row("CRN", "crn"), batch_images=RANKS),
        paper_row("pix2pixHD", "pix2pixhd"),
        paper_row("SPADE (Ours)", "spade-decoder"),
    )


def table_1_small_rows() -> tuple[Row, ...]:
    """pix2pixHD and SPADE at an eighth of their width, CRN at a sixteenth; SIMS is imported."""
    crn = get_variant("crn").scaled(width=64)
    substitute = replace(crn, recipes=(crn.recipe("crn-lite0"),))
    return (
        row_of("CRN", substitute, discriminator_width=DISCRIMINATOR_WIDTH, rates=RATES),
        small_row("pix2pixHD", "pix2pixhd", {"width": 8}),
        small_row("SPADE (Ours)", "spade-decoder", {"width": 8, "hidden": 32}),
    )
