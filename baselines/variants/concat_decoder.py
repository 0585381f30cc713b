"""The decoder that concatenates the label map instead of modulating with it (Table 3)."""

from __future__ import annotations

from baselines.recipe import CODE, PAPER
from baselines.settings import ConcatDecoderSettings
from baselines.variant import Variant

VARIANTS = (
    Variant(
        name="concat-decoder",
        summary="the same decoder, the label map concatenated to the input of every convolution of its blocks",
        generator=ConcatDecoderSettings(),
        recipes=(CODE, PAPER),
        table_rows=("Table 3: decoder w/ Concat",),
        paper_params_m=79,
        provenance="reconstruction",
        provenance_note=(
            "no code was released and the text gives no detail; concatenating the resized one-hot map to the inputs of "
            "conv_0, conv_1 and conv_s of all 7 blocks, on a norm without affine parameters, gives 79.23M on ADE20K. "
            "Without conv_s (79.08M) or with an affine norm (79.25M) the count rounds to 79M too; only the first "
            "convolution of each block (73.7M) does not"
        ),
    ),
)
