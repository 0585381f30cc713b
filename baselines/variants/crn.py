"""CRN: regression with feature losses, without noise and without a discriminator (Table 1)."""

from __future__ import annotations

from dataclasses import replace

from baselines.recipe import CRN, CRN_SUBSTITUTE
from baselines.settings import CrnSettings
from baselines.variant import Variant

_NINE = Variant(
    name="crn",
    summary="cascaded refinement network that draws 9 images for a map; the first of them is scored",
    generator=CrnSettings(),
    recipes=(CRN, CRN_SUBSTITUTE),
    table_rows=("Table 1: CRN",),
    provenance="reconstruction",
    provenance_note=(
        "the SPADE paper retrained CRN with its authors' code and does not say whether with 9 images or 1, nor which "
        "of the 9 was scored: here the released default for 256 px, and the first image. The authors' constants for "
        "256x512 Cityscapes hold for other sizes and data sets too"
    ),
)

VARIANTS = (
    _NINE,
    replace(
        _NINE,
        name="crn-single",
        summary="cascaded refinement network that draws one image, without the diversity loss",
        generator=CrnSettings(images=1),
        table_rows=(),
        provenance_note=(
            "the released code draws one image at 512 and 1024 px only; here its network for 256 px with one"
        ),
    ),
)
