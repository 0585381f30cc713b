"""What a label map may hold. Free of torch, so that registries and planners can use it on a login node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LabelSpec:
    """The label ids that a generator accepts and the channels that its one-hot map has.

    Label ids run from 0 to ``ids - 1``. COCO-Stuff in the released code is 182 classes, don't care (id 182) and
    instance edges: 184 channels; ADE20K is 150 classes and don't care: 151; Cityscapes 35 classes and edges: 36.
    """

    classes: int
    """Semantic classes; their ids are 0 to ``classes - 1``."""
    dont_care: bool = False
    """Whether one more id, ``classes``, stands for pixels that nobody labelled."""
    instance_edges: bool = False
    """Whether a channel marks pixels of which a 4-neighbour belongs to another instance."""

    def __post_init__(self) -> None:
        if self.classes < 1:
            raise ValueError(f"LabelSpec.classes is {self.classes}; a label map needs at least 1 class")

    @property
    def ids(self) -> int:
        """Number of valid label ids, don't care included."""
        return self.classes + int(self.dont_care)

    @property
    def channels(self) -> int:
        """Channels of the one-hot map, don't care and instance edges included."""
        return self.ids + int(self.instance_edges)
