"""The affine map that matches two masks by their moments: mean onto mean and spread onto spread.

Letters of shapes: N pairs of masks, H height and W width in px.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Where masks lie and how far they reach, in normalized coordinates, from -1 to 1."""

    mean: Tensor
    """(N, 2) x and y."""
    spread: Tensor
    """(N, 2) one standard deviation across and down; never 0, a pixel has an extent."""


def moments(masks: Tensor) -> Moments:
    """Of masks (N, 1, H, W) of 0 and 1; an empty one has the mean 0."""
    height, width = masks.shape[2:]
    area = masks.sum((1, 2, 3)).clamp_min(1.0)
    means, spreads = [], []
    for side, shape in ((width, (1, 1, 1, width)), (height, (1, 1, height, 1))):
        at = ((2 * torch.arange(side, device=masks.device, dtype=masks.dtype) + 1) / side - 1).view(shape)
        mean = (masks * at).sum((1, 2, 3)) / area
        variance = (masks * (at - mean.view(-1, 1, 1, 1)).square()).sum((1, 2, 3)) / area
        means.append(mean)
        spreads.append((variance + 1 / (3 * side**2)).sqrt())  # of a pixel, whose side is 2 / side
    return Moments(mean=torch.stack(means, 1), spread=torch.stack(spreads, 1))


def matching_map(segment: Moments, region: Moments) -> Tensor:
    """(N, 2, 3): takes a region's coordinates to the segment's, each axis by a scale and a shift."""
    scale = segment.spread / region.spread
    return torch.cat([torch.diag_embed(scale), (segment.mean - scale * region.mean).unsqueeze(2)], 2)


def changed(theta: Tensor, change: Tensor, region: Moments) -> Tensor:
    """``theta`` (N, 2, 3) after the region's points moved by ``change`` (N, 2, 3).

    The change is an affine map of coordinates in which the region has the mean 0 and the spread 1, and says by how many
    spreads each point moves; so it means the same for small and for large regions. A change of 0 leaves ``theta``.
    """
    turn = region.spread.unsqueeze(2) * change[:, :, :2] / region.spread.unsqueeze(1)
    shift = region.spread * change[:, :, 2] - (turn @ region.mean.unsqueeze(2)).squeeze(2)
    linear = theta[:, :, :2]
    moved = linear @ torch.cat([turn, shift.unsqueeze(2)], 2)
    return theta + moved
