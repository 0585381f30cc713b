"""Variants of one architecture along one setting: the width sweep behind Tables 3 and 4."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from baselines.variant import Variant

WIDTHS = tuple(range(32, 97, 8))
"""Released: ngf. 48, 64 and 80 are the widths of the paper's 61M, 96M and 141M."""


def width_sweep(variant: Variant, widths: Iterable[int] = WIDTHS) -> tuple[Variant, ...]:
    """``variant`` at each width, for the rows of a study; the names stay, the settings differ.

    Raises ValueError where the variant's generator has no width or a width is not allowed.
    """
    return tuple(
        replace(
            variant.scaled(width=width),
            summary=f"{variant.summary}, width {width}",
            paper_params_m=variant.paper_params_m if width == getattr(variant.generator, "width", None) else None,
        )
        for width in widths
    )
