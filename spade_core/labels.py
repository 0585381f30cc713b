"""Label maps: integer ids at the interface, one-hot maps only inside the networks.

Letters of shapes: N images, K channels of the one-hot map, H height and W width in pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from spade_core.label_spec import LabelSpec
from spade_core.label_windows import LabelWindows
from spade_core.windows import Frame

INTEGER_TYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_LISTED_VALUES = 10


def check_label_ids(labels: Tensor, spec: LabelSpec) -> None:
    """Check that ``labels`` is an integer map (N, H, W) with ids from 0 to ``spec.ids - 1``.

    Raises a ValueError that lists the wrong ids with their numbers of pixels. On an accelerator this waits for the
    tensor's smallest and largest value, so that the error comes before any kernel indexes with it.
    """
    if labels.ndim != 3 or labels.numel() == 0:
        raise ValueError(f"a label map has the shape (N, H, W), none of them 0; this one has {tuple(labels.shape)}")
    if labels.dtype not in INTEGER_TYPES:
        raise ValueError(
            f"a label map holds integer ids; this one has the type {labels.dtype}. "
            f"Give it as one of {', '.join(map(str, INTEGER_TYPES))}"
        )
    low, high = torch.stack(labels.aminmax()).tolist()
    if low >= 0 and high < spec.ids:
        return
    values, counts = torch.unique(labels.cpu(), return_counts=True)
    wrong = [(v, n) for v, n in zip(values.tolist(), counts.tolist(), strict=True) if not 0 <= v < spec.ids]
    listed = ", ".join(f"{value} ({count} pixels)" for value, count in wrong[:_LISTED_VALUES])
    more = f" and {len(wrong) - _LISTED_VALUES} more ids" if len(wrong) > _LISTED_VALUES else ""
    care = f" (don't care is {spec.classes})" if spec.dont_care else " (no id stands for don't care)"
    raise ValueError(
        f"label ids out of range: {listed}{more}; allowed are 0 to {spec.ids - 1}{care}. "
        f"Remap the ids, or use a LabelSpec with more classes"
    )


def instance_edges(instances: Tensor) -> Tensor:
    """Where an instance ends: a bool map (N, H, W), true where any of the four neighbours has another id.

    ``instances`` is an integer map (N, H, W) of any ids. As in the released code (and in pix2pixHD).
    """
    edges = torch.zeros_like(instances, dtype=torch.bool)
    across = instances[:, :, 1:] != instances[:, :, :-1]
    edges[:, :, 1:] |= across
    edges[:, :, :-1] |= across
    down = instances[:, 1:] != instances[:, :-1]
    edges[:, 1:] |= down
    edges[:, :-1] |= down
    return edges


def one_hot_dtype(weight: Tensor) -> torch.dtype:
    """The type of the map that a convolution with this weight reads: autocast's inside autocast, else the weight's."""
    device = weight.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return weight.dtype


class LabelMap:
    """A batch of label maps, and what was asked for of it: one-hot maps and distinct windows at several sizes.

    All layers that work at one resolution share them. Not a tensor: nothing in it needs a gradient. Everything is kept
    as long as the object: a training step that shows one batch to its networks twice should use one object.
    """

    def __init__(self, labels: Tensor, instances: Tensor | None, spec: LabelSpec, *, check: bool = True) -> None:
        """``labels`` and ``instances`` are integer maps (N, H, W) on one device.

        ``instances`` is needed if ``spec.instance_edges``; otherwise it is unused and may be None. ``check=False``
        skips the look at the ids, for maps that were checked before they went to the device. A ValueError if anything
        is wrong.
        """
        if check:
            check_label_ids(labels, spec)
        self.spec = spec
        self.labels = labels
        self.edges: Tensor | None = None
        """Instance edges, bool (N, H, W), if the spec has them."""
        if spec.instance_edges:
            if instances is None:
                raise ValueError(
                    "this LabelSpec has instance edges, but no instance ids were given; pass instances of shape "
                    f"{tuple(labels.shape)}, or use a LabelSpec with instance_edges=False"
                )
            if instances.shape != labels.shape:
                raise ValueError(
                    f"label map and instance map differ in shape: {tuple(labels.shape)} and {tuple(instances.shape)}"
                )
            self.edges = instance_edges(instances)
        self._one_hot: dict[tuple[tuple[int, int], torch.dtype], Tensor] = {}
        self._labels_at: dict[tuple[int, int], Tensor] = {}
        self._windows_at: dict[tuple[tuple[int, int], Frame], LabelWindows] = {}
        self._averaged: dict[tuple[int, torch.dtype], Tensor] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.labels.shape[1], self.labels.shape[2]

    @property
    def device(self) -> torch.device:
        """Where the ids are, and where the one-hot maps will be."""
        return self.labels.device

    def __len__(self) -> int:
        return self.labels.shape[0]

    def labels_at(self, size: tuple[int, int]) -> Tensor:
        """The ids (N, h, w), int64, at another size (h, w), by the nearest neighbour of ``F.interpolate``."""
        if size not in self._labels_at:
            self._labels_at[size] = self._nearest(self.labels, size).long()
        return self._labels_at[size]

    def windows_at(self, size: tuple[int, int], frame: Frame) -> LabelWindows:
        """The distinct windows that a convolution at ``size`` (h, w) sees, and the convolution's result."""
        key = (size, frame)
        if key not in self._windows_at:
            edges = None if self.edges is None else self._nearest(self.edges, size).bool()
            self._windows_at[key] = LabelWindows(self.labels_at(size), edges, self.spec.ids, frame)
        return self._windows_at[key]

    def averaged(self, halvings: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """The full-size one-hot map after so many 3 x 3 averages of stride 2 (at least 1): (N, K, h, w).

        As ``F.avg_pool2d(map, 3, stride=2, padding=1, count_include_pad=False)``. Shared: do not write to it.
        """
        key = (halvings, dtype)
        if key not in self._averaged:
            if halvings == 1:
                windows = self.windows_at(self.size, Frame(kernel=3, stride=2, padding=1))
                self._averaged[key] = windows.average(dtype)
            else:
                larger = self.averaged(halvings - 1, dtype)
                self._averaged[key] = F.avg_pool2d(larger, 3, stride=2, padding=1, count_include_pad=False)
        return self._averaged[key]

    def one_hot(self, size: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
        """The map (N, K, h, w) of 0 and 1 at ``size`` (h, w): one channel per id, then the edges if there are any.

        Equal to ``F.interpolate(mode="nearest")`` of the full-size map. Shared between callers: do not write to it.
        """
        key = (size, dtype)
        if key not in self._one_hot:
            ids = self.labels_at(size)
            full = torch.zeros(len(self), self.spec.channels, *size, dtype=dtype, device=self.device)
            full.scatter_(1, ids.unsqueeze(1), 1.0)
            if self.edges is not None:
                full[:, -1] = self._nearest(self.edges, size).to(dtype)
            self._one_hot[key] = full
        return self._one_hot[key]

    def _nearest(self, values: Tensor, size: tuple[int, int]) -> Tensor:
        if size == self.size:
            return values
        # float32 holds ids below 2**24 exactly
        return F.interpolate(values.unsqueeze(1).float(), size=size, mode="nearest").squeeze(1)
