"""The decoder with SPADE, its widths, and the settings of Tables 4 and 5."""

from __future__ import annotations

from dataclasses import replace

from baselines.recipe import CODE, PAPER, Recipe
from baselines.settings import SpadeLiteralSettings
from baselines.variant import Variant
from spade_core.settings import DiscriminatorSettings, EncoderSettings, SpadeSettings


def _both(**changes: object) -> tuple[Recipe, ...]:
    """The recipes ``code`` and ``paper``, with the same fields changed in each."""
    return tuple(replace(recipe, **changes) for recipe in (CODE, PAPER))  # type: ignore[arg-type]


_DECODER = Variant(
    name="spade-decoder",
    summary="the paper's generator: decoder with SPADE, from the segmentation map",
    generator=SpadeSettings(),
    recipes=_both(),
    table_rows=(
        "Table 1: SPADE (Ours)",
        "Table 3: decoder w/ SPADE (Ours)",
        "Table 4: segmap input",
        "Table 4: 3x3",
        "Table 4: 96M",
        "Table 4: Sync BatchNorm",
        "Table 5: Ours",
    ),
    paper_params_m=96,
)

_NO_NUMBER = "the paper prints this row in Table 4, but its number is not known to us and stays blank"
_TRIED = "the paper says that such discriminators gave similar results at a higher cost in memory, and no more"

VARIANTS = (
    _DECODER,
    replace(
        _DECODER,
        name="spade-decoder-compact",
        summary="decoder with SPADE at 3/4 of the width",
        generator=SpadeSettings(width=48),
        table_rows=("Table 3: compact decoder w/ SPADE", "Table 4: 61M"),
        paper_params_m=61,
        provenance_note="ngf 48 is the only width from 32 to 96 whose count rounds to 61M; the hidden width stays 128",
    ),
    replace(
        _DECODER,
        name="spade-decoder-141m",
        summary="decoder with SPADE, wider",
        generator=SpadeSettings(width=80),
        table_rows=("Table 4: 141M",),
        paper_params_m=141,
        provenance_note=f"ngf 80 is the only width from 32 to 96 whose count rounds to 141M; {_NO_NUMBER}",
    ),
    replace(
        _DECODER,
        name="spade-decoder-random-input",
        summary="decoder with SPADE, started from z instead of the segmentation map",
        generator=SpadeSettings(source="z"),
        table_rows=("Table 4: random input",),
        paper_params_m=None,
        provenance="reconstruction",
        provenance_note=f"as released with an image encoder, but z is drawn from N(0, 1) without one; {_NO_NUMBER}",
    ),
    replace(
        _DECODER,
        name="spade-decoder-kernel-1",
        summary="decoder with SPADE whose convolutions see one pixel of the map",
        generator=SpadeSettings(kernel=1),
        table_rows=("Table 4: 1x1",),
        paper_params_m=None,
        provenance_note=_NO_NUMBER,
    ),
    replace(
        _DECODER,
        name="spade-decoder-kernel-5",
        summary="decoder with SPADE whose convolutions are 5x5",
        generator=SpadeSettings(kernel=5),
        table_rows=("Table 4: 5x5",),
        paper_params_m=None,
        provenance_note=_NO_NUMBER,
    ),
    replace(
        _DECODER,
        name="spade-decoder-batch-norm",
        summary="decoder with SPADE on batch norm of each rank alone",
        generator=SpadeSettings(norm="batch"),
        table_rows=("Table 4: BatchNorm",),
        paper_params_m=96,
        provenance_note=_NO_NUMBER,
    ),
    replace(
        _DECODER,
        name="spade-decoder-instance-norm",
        summary="decoder with SPADE on instance norm",
        generator=SpadeSettings(norm="instance"),
        table_rows=("Table 4: InstanceNorm",),
        paper_params_m=96,
        provenance_note=_NO_NUMBER,
    ),
    replace(
        _DECODER,
        name="spade-decoder-no-perceptual",
        summary="decoder with SPADE, trained without the VGG19 loss",
        recipes=_both(perceptual_weight=0.0),
        table_rows=("Table 5: Ours w/o Perceptual loss",),
    ),
    replace(
        _DECODER,
        name="spade-decoder-no-feature-matching",
        summary="decoder with SPADE, trained without feature matching",
        recipes=_both(feature_matching_weight=0.0),
        table_rows=("Table 5: Ours w/o GAN feature matching loss",),
    ),
    replace(
        _DECODER,
        name="spade-decoder-deeper-discriminator",
        summary="decoder with SPADE against discriminators of one more layer",
        recipes=_both(discriminator=DiscriminatorSettings(layers=5)),
        table_rows=("Table 5: Ours w/ a deeper discriminator",),
    ),
    replace(
        _DECODER,
        name="spade-decoder-resnet-discriminator",
        summary="decoder with SPADE against discriminators of residual blocks",
        recipes=_both(discriminator=DiscriminatorSettings(kind="resnet")),
        table_rows=(),
        provenance="reconstruction",
        provenance_note=(
            f"residual blocks at the strides and channels of the patch discriminator; {_TRIED}. A step of 4 images at "
            "256 px (ADE20K, float32) holds 4.1 GiB of tensors where the patch discriminator's holds 3.3 (estimated)"
        ),
    ),
    replace(
        _DECODER,
        name="spade-decoder-spade-discriminator",
        summary="decoder with SPADE against patch discriminators with SPADE inside",
        recipes=_both(discriminator=DiscriminatorSettings(kind="spade")),
        table_rows=(),
        provenance="reconstruction",
        provenance_note=(
            f"SPADE on instance norm in place of the discriminators' instance norms; {_TRIED}. A step of 4 images at "
            "256 px (ADE20K, float32) holds 3.4 GiB of tensors where the patch discriminator's holds 3.3 (estimated)"
        ),
    ),
    replace(
        _DECODER,
        name="spade-decoder-encoder",
        summary="decoder with SPADE and the image encoder: style-guided, multi-modal synthesis",
        generator=SpadeSettings(source="z"),
        recipes=_both(encoder=EncoderSettings()),
        table_rows=("Figure 9: style-guided synthesis",),
        paper_params_m=None,
    ),
    replace(
        _DECODER,
        name="spade-literal",
        summary="decoder with SPADE as figures 11 and 12 draw it: from z, ReLU, 3x3 shortcuts",
        generator=SpadeLiteralSettings(),
        table_rows=(),
        paper_params_m=None,
        provenance="reconstruction",
        provenance_note=(
            "not what the authors ran: with the shortcut of figure 11 the decoder has 102.06M parameters, from z as in "
            "figure 12 99.31M, with both 104.88M, and none is the 96M of Table 3. The seventh doubling of figure 12, "
            "which would give 512 px, is left out; the shortcut has no bias; scale is 1 + gamma as released"
        ),
    ),
)
