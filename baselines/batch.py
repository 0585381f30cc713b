"""What one optimisation step is given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Pairs of label map and image, on one device."""

    spec: LabelSpec
    labels: Tensor
    """(N, H, W) integer ids, 0 to ``spec.ids - 1``."""
    instances: Tensor | None
    """(N, H, W) integer ids, needed where ``spec.instance_edges``."""
    images: Tensor
    """(N, 3, H, W) in [-1, 1]."""
    noise: tuple[Tensor, Tensor] | None = None
    """Standard normal (N, Z) for the generator's and for the discriminator's step; None where nothing needs it."""

    checked: bool = False
    """Whether the ids are known to be valid (the loader checks them on the CPU); saves a wait for the GPU."""

    def label_map(self) -> LabelMap:
        """The label map, one object for all layers of all networks. Raises ValueError for ids out of range."""
        return self._label_map

    @cached_property
    def _label_map(self) -> LabelMap:
        return LabelMap(self.labels, self.instances, self.spec, check=not self.checked)
