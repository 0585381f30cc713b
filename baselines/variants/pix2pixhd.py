"""pix2pixHD as released, and pix2pixHD++: the same generator with the paper's training techniques (Tables 1, 3, 5)."""

from __future__ import annotations

from dataclasses import replace

from baselines.recipe import CODE, PAPER, PIX2PIXHD
from baselines.settings import LocalEnhancerSettings, Pix2pixHDSettings
from baselines.variant import Variant

_PLUS_PLUS = Pix2pixHDSettings(norm="sync_batch", spectral_norm=True)

VARIANTS = (
    Variant(
        name="pix2pixhd-pp-spade",
        summary="pix2pixHD++ with each of its 27 norms replaced by SPADE",
        generator=replace(_PLUS_PLUS, conditioning="spade"),
        recipes=(CODE, PAPER),
        table_rows=("Table 3: pix2pixHD++ w/ SPADE", "Table 5: pix2pixHD++ w/ SPADE"),
        paper_params_m=237,
        provenance="reconstruction",
        provenance_note=(
            "no code was released; SPADE at all 27 norm layers, convolutions without bias, gives 236.88M on ADE20K; "
            "leaving out the stem's norm also rounds to 237M, blocks and upsampling alone (231.4M) do not"
        ),
    ),
    Variant(
        name="pix2pixhd-pp-concat",
        summary="pix2pixHD++ with the label map concatenated at the input of each residual block",
        generator=replace(_PLUS_PLUS, conditioning="concat"),
        recipes=(CODE, PAPER),
        table_rows=("Table 3: pix2pixHD++ w/ Concat",),
        paper_params_m=195,
        provenance="reconstruction",
        provenance_note=(
            "no code was released and the text says 'all the intermediate layers'; the one-hot map concatenated once "
            "per residual block gives 195.45M on ADE20K. At all 27 later convolutions it would be 211.9M, at both of "
            "each block 208.0M; a 128-channel embedding at the block input (195.11M) fits as well. The rule differs "
            "from the decoder's, so the two Concat rows are not one experiment"
        ),
    ),
    Variant(
        name="pix2pixhd-pp",
        summary="pix2pixHD's generator with spectral norm, sync batch norm, hinge loss and TTUR",
        generator=_PLUS_PLUS,
        recipes=(CODE, PAPER),
        table_rows=("Table 3: pix2pixHD++", "Table 5: pix2pixHD++"),
        paper_params_m=183,
    ),
    Variant(
        name="pix2pixhd-pp-compact",
        summary="pix2pixHD++ at 3/4 of the width",
        generator=replace(_PLUS_PLUS, width=48),
        recipes=(CODE, PAPER),
        table_rows=("Table 3: compact pix2pixHD++",),
        paper_params_m=103,
        provenance_note="ngf 48 is the only width from 32 to 96 whose count rounds to 103M",
    ),
    Variant(
        name="pix2pixhd-pp-no-sync-batch-norm",
        summary="pix2pixHD++ on batch norm of each rank alone",
        generator=replace(_PLUS_PLUS, norm="batch"),
        recipes=(CODE, PAPER),
        table_rows=("Table 5: pix2pixHD++ w/o Sync BatchNorm",),
        paper_params_m=None,
        provenance="reconstruction",
        provenance_note="the paper does not say what replaces sync batch norm; batch norm over the images of one rank",
    ),
    Variant(
        name="pix2pixhd-pp-no-sync-batch-norm-no-spectral-norm",
        summary="pix2pixHD++ on batch norm of each rank alone, without spectral norm",
        generator=replace(_PLUS_PLUS, norm="batch", spectral_norm=False),
        recipes=tuple(
            replace(recipe, discriminator=replace(recipe.discriminator, spectral_norm=False))
            for recipe in (CODE, PAPER)
            if recipe.discriminator is not None
        ),
        table_rows=("Table 5: pix2pixHD++ w/o Sync BatchNorm and w/o Spectral Norm",),
        paper_params_m=None,
        provenance="reconstruction",
        provenance_note=(
            "the paper does not say what replaces sync batch norm (batch norm of one rank here), nor whether the "
            "discriminator loses its spectral norm too (it does here)"
        ),
    ),
    Variant(
        name="pix2pixhd",
        summary="pix2pixHD as released: global generator, least squares, its own step",
        generator=Pix2pixHDSettings(norm="instance", spectral_norm=False),
        recipes=(PIX2PIXHD,),
        table_rows=("Table 1: pix2pixHD", "Table 3: pix2pixHD", "Table 5: pix2pixHD"),
        paper_params_m=183,
    ),
    Variant(
        name="pix2pixhd-local-enhancer",
        summary="pix2pixHD with its local enhancer, for images of 1024 px and more",
        generator=LocalEnhancerSettings(),
        recipes=(PIX2PIXHD,),
        table_rows=(),
        paper_params_m=None,
        provenance_note="not a row of the paper; the count also rounds to the 183M printed for pix2pixHD",
    ),
)
