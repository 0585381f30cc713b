"""What convolutions see of a batch of label maps: found once for each size, used by every layer that works at it."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from spade_core.row_sums import Bags, sum_rows
from spade_core.windows import Frame, Windows, distinct_windows


class LabelWindows:
    """The distinct windows of a batch of label maps at one size, and the distinct windows of those.

    Holds integers only; nothing in it depends on weights.
    """

    def __init__(self, labels: Tensor, edges: Tensor | None, ids: int, frame: Frame) -> None:
        """``labels`` (N, H, W) int64 are below ``ids``; ``edges`` (N, H, W) bool marks instance edges."""
        self.frame = frame
        self.ids = ids
        self.with_edges = edges is not None
        codes = labels if edges is None else torch.add(labels, edges.long(), alpha=ids)
        self.windows: Windows = distinct_windows(codes, frame, ids * (1 + self.with_edges))
        """What a first convolution sees; a pixel's code is its label id, plus ``ids`` on an instance edge."""

    @cached_property
    def patches(self) -> Windows:
        """What a second convolution of this frame sees through the first: windows of the numbers of ``windows``."""
        return distinct_windows(self.windows.of_pixel, self.frame, len(self.windows))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the convolution's result."""
        _, height, width = self.windows.of_pixel.shape
        return height, width

    @cached_property
    def used_ids(self) -> Tensor:
        """The label ids that occur, (U,) int64, ascending."""
        codes = self.windows.contents
        used: Tensor = torch.unique(codes[codes < self.windows.outside] % self.ids)
        return used

    @cached_property
    def label_bags(self) -> Bags:
        """Rows of ``label_rows``' table that the first convolution adds up for each of the windows."""
        used = self.used_ids
        place = torch.full((self.windows.outside + 1,), len(used) * (1 + self.with_edges), device=used.device)
        place[used] = torch.arange(len(used), device=used.device)
        if self.with_edges:
            place[used + self.ids] = torch.arange(len(used), 2 * len(used), device=used.device)
        return _bags(place[self.windows.contents], len(used) * (1 + self.with_edges) + 1)

    @cached_property
    def patch_bags(self) -> Bags:
        """Rows of the windows' products with each offset that the second convolution adds up for each patch."""
        return _bags(self.patches.contents, len(self.windows) + 1)

    def label_rows(self, weight: Tensor) -> Tensor:
        """A weight (M, K, k, k) of a convolution over the one-hot map as a table (rows of ``label_bags``, M).

        For each offset in the window: the used ids, the used ids on an edge if there are edges, and zeros for what
        lies outside the map.
        """
        rows = weight.index_select(1, self.used_ids).permute(2, 3, 1, 0).flatten(0, 1)
        if self.with_edges:
            edge = weight[:, -1:].permute(2, 3, 1, 0).flatten(0, 1)
            rows = torch.cat([rows, rows + edge], dim=1)
        return F.pad(rows, (0, 0, 0, 1)).flatten(0, 1)

    def convolution(self, weight: Tensor) -> Tensor:
        """The convolution of the one-hot map with ``weight`` (C, K, k, k), without bias: (N, C, H', W').

        In memory the result has the order N, H', W', C.
        """
        rows = sum_rows(self.label_rows(weight), self.label_bags)
        of_pixel = self.windows.of_pixel
        return rows.index_select(0, of_pixel.flatten()).view(*of_pixel.shape, -1).permute(0, 3, 1, 2)

    def average(self, dtype: torch.dtype) -> Tensor:
        """The mean of the one-hot map over each window, counting what lies on the map: (N, K, H', W')."""
        contents = self.windows.contents
        rows = torch.eye(self.ids, dtype=dtype, device=contents.device)
        if self.with_edges:
            rows = torch.cat([F.pad(rows, (0, 1)), F.pad(rows, (0, 1), value=1.0)])
        sums = F.embedding_bag(contents, F.pad(rows, (0, 0, 0, 1)), mode="sum")
        means = sums / (contents < self.windows.outside).sum(1, keepdim=True)
        of_pixel = self.windows.of_pixel
        return means.index_select(0, of_pixel.flatten()).view(*of_pixel.shape, -1).permute(0, 3, 1, 2)


def _bags(contents: Tensor, codes: int) -> Bags:
    """Bags of rows of a table that has ``codes`` rows for each offset in the window; ``contents`` (B, k * k)."""
    area = contents.shape[1]
    return Bags(contents + torch.arange(area, device=contents.device) * codes, rows=area * codes)
