"""What a data set asks of an architecture. Free of torch."""

from __future__ import annotations

from baselines.variant import Variant


def fitted(variant: Variant, upsampling: str) -> Variant:
    """``variant`` with the upsampling that the released options have for a data set (Cityscapes: more).

    The size of what is upsampled first decides the parameters of a generator that starts from z.
    """
    if getattr(variant.generator, "upsampling", upsampling) == upsampling:
        return variant
    return variant.scaled(upsampling=upsampling)
