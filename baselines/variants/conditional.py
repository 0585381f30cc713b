"""SPADE's relatives whose scale and shift are the same at every pixel, in the paper's decoder (section 3.1)."""

from __future__ import annotations

from dataclasses import replace

from baselines.recipe import CODE, PAPER
from baselines.settings import ConditionalDecoderSettings
from baselines.variant import Variant
from spade_core.settings import EncoderSettings

VARIANTS = (
    Variant(
        name="conditional-batch-norm-decoder",
        summary="the decoder on conditional batch norm: scale and shift by the most frequent label of the map",
        generator=ConditionalDecoderSettings(condition="class", norm="sync_batch"),
        recipes=(CODE, PAPER),
        provenance="extension",
        provenance_note=(
            "the paper names conditional batch norm as the case of SPADE whose map is the image's class label and "
            "trains none; the class of an image is taken to be the label that covers most of it, and the label map "
            "itself reaches the first layer alone"
        ),
    ),
    Variant(
        name="adain-decoder",
        summary="the decoder on adaptive instance norm: scale and shift by the style code of an image",
        generator=ConditionalDecoderSettings(condition="style", norm="instance"),
        recipes=tuple(replace(recipe, encoder=EncoderSettings()) for recipe in (CODE, PAPER)),
        provenance="extension",
        provenance_note=(
            "the paper names AdaIN as the case of SPADE whose map is a real image, with statistics of each image, and "
            "trains none; the image encoder of figure 14 makes the style code of the real image in training and of "
            "a style image, or of none, later; the label map reaches the first layer alone"
        ),
    ),
)
