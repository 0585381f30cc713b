"""Which windows of a label map differ from one another: a convolution of the map need be computed once for each.

Most windows of a segmentation lie inside a region or along a smooth border, so few of them are distinct. Letters of
shapes: N maps, H height and W width in pixels, D distinct windows, k the side of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_LARGEST_KEY = 2**62


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where a convolution's windows lie, in pixels."""

    kernel: int
    stride: int = 1
    padding: int
    reflect: bool = False
    """Whether what lies outside mirrors the map, or is nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """The distinct k x k windows of a batch of maps, in an order that depends on the maps alone."""

    contents: Tensor
    """(D, k * k) int64: the codes in each window, row by row; ``outside`` where it reaches over the border."""
    of_pixel: Tensor
    """(N, H', W') int64: the number of the window at each pixel of the convolution's result."""
    outside: int
    """The code of what is not on the map; the codes on the map are below."""

    def __len__(self) -> int:
        return self.contents.shape[0]

    @property
    def share(self) -> float:
        """Distinct windows as a share of the result's pixels, above 0 to 1."""
        return len(self) / self.of_pixel.numel()


def distinct_windows(codes: Tensor, frame: Frame, outside: int) -> Windows:
    """The distinct windows that a convolution sees of ``codes`` (N, H, W), int64, 0 to ``outside`` - 1.

    Exact: windows are told apart by their contents, not by a hash. On an accelerator this waits for the number of
    windows, because tensors of that size follow.
    """
    kernel, stride, padding = frame.kernel, frame.stride, [frame.padding] * 4
    if frame.reflect:  # torch reflects no integers
        codes = F.pad(codes.double().unsqueeze(1), padding, mode="reflect").squeeze(1).long()
    else:
        codes = F.pad(codes, padding, value=outside)
    width = codes.shape[2] - kernel + 1
    across, rows = _distinct_tuples([codes[:, :, i : i + width : stride] for i in range(kernel)], outside + 1)
    height = codes.shape[1] - kernel + 1
    of_pixel, columns = _distinct_tuples([across[:, i : i + height : stride] for i in range(kernel)], len(rows))
    return Windows(contents=rows[columns].flatten(1), of_pixel=of_pixel, outside=outside)


def _distinct_tuples(parts: Sequence[Tensor], base: int) -> tuple[Tensor, Tensor]:
    """Numbers of the tuples that ``parts`` (of one shape, values below ``base``) form, and the tuples (D, len(parts)).

    A tuple is one integer with a digit for each part; where the integer would overflow, what there is so far is
    numbered anew.
    """
    known = torch.arange(base, device=parts[0].device).unsqueeze(1)
    keys, size, digits = parts[0], base, 0
    for part in parts[1:]:
        if size * base > _LARGEST_KEY:
            keys, known = _renumbered(keys, known, base, digits)
            size, digits = len(known), 0
        keys = keys * base + part
        size, digits = size * base, digits + 1
    return _renumbered(keys, known, base, digits)


def _renumbered(keys: Tensor, known: Tensor, base: int, digits: int) -> tuple[Tensor, Tensor]:
    """``keys`` as numbers from 0 without gaps, and the tuple of each: its row of ``known`` and its last ``digits``."""
    values, numbers = torch.unique(keys, return_inverse=True)
    columns = [known[values // base**digits]]
    columns += [(values // base**place % base).unsqueeze(1) for place in reversed(range(digits))]
    return numbers, torch.cat(columns, dim=1)
