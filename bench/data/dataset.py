"""What a data set is to the trainer and the evaluator: labels, instances and images by index, at the network's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from spade_core.label_spec import LabelSpec

if TYPE_CHECKING:  # numpy stays out of the listing commands
    import numpy as np
    from numpy.typing import NDArray


class DatasetError(ValueError):
    """A data set that cannot be used as it is; the message lists everything that has to be put right."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One pair, ready at the network's size."""

    id: str
    """Name of the sample within its split; unique, and the key of every seed that belongs to it."""
    labels: NDArray[np.integer]
    """(H, W) uint8 or uint16, ids from 0 to ``spec.ids - 1``."""
    instances: NDArray[np.int32] | None
    """(H, W) ids; two pixels belong to one instance exactly if their ids are equal. None where nobody marked any."""
    image: NDArray[np.uint8]
    """(H, W, 3) RGB, 0 to 255."""


@dataclass(frozen=True, kw_only=True)
class AugmentationRule:
    """What may happen to a training pair (`facts`: released code, section "Data")."""

    flip: bool = True
    """Mirror left and right with probability 0.5."""
    load_scale: float = 1.0
    """Resize to this multiple of the size and cut a random window of the size; 286/256 for COCO-Stuff and ADE20K."""

    def __post_init__(self) -> None:
        if not 1.0 <= self.load_scale <= 4.0:
            raise ValueError(
                f"AugmentationRule.load_scale is {self.load_scale}; it must be from 1.0 (no crop) to 4.0, "
                "because the window is cut from an image at least as large as itself"
            )


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The decisions for one sample in one epoch; see ``transforms.draw_augmentation``."""

    flip: bool
    load_scale: float
    crop_y: float
    """Position of the window, from 0 (top) to below 1 (bottom)."""
    crop_x: float
    """Position of the window, from 0 (left) to below 1 (right)."""


class Dataset(Protocol):
    """A split of a data set. Implementations are cheap to pickle: loader workers receive copies."""

    @property
    def name(self) -> str: ...

    @property
    def split(self) -> str: ...

    @property
    def spec(self) -> LabelSpec: ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every sample, in pixels."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name for each of the ``spec.ids`` label ids."""

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(spec.ids, 3) RGB colours that label maps are shown in."""

    @property
    def ignore_ids(self) -> tuple[int, ...]:
        """Label ids whose pixels no score counts (don't care, unknown)."""

    @property
    def scored_classes(self) -> tuple[int, ...]:
        """Label ids that a mean over classes runs over, ascending; disjoint from ``ignore_ids``."""

    @property
    def augmentation_rule(self) -> AugmentationRule:
        """What training may do to a sample; evaluation does nothing."""

    @property
    def manifest_hash(self) -> str:
        """Hexadecimal identity of the split's content; free of paths."""

    def __len__(self) -> int: ...

    def sample_id(self, index: int) -> str:
        """Name of the sample. Raises IndexError outside 0 to ``len - 1``."""

    def load(self, index: int, augmentation: Augmentation | None = None) -> Sample:
        """The sample at ``size``; the same arguments give the same arrays, in any order and any process."""

    def truth(self, index: int) -> NDArray[np.integer]:
        """(H0, W0) label ids of the sample at the label map's own size, in the id space of ``load().labels``."""

    def native_size(self, index: int) -> tuple[int, int]:
        """(height, width) in pixels of the sample's files as they are; answers without opening them."""

    def original(self, index: int) -> NDArray[np.uint8]:
        """(H0, W0, 3) RGB, 0 to 255: the photograph itself, not resized."""


def check_size(size: tuple[int, int], multiple: int = 8) -> tuple[int, int]:
    """Return the size (height, width) if both are positive multiples of ``multiple``; ValueError otherwise."""
    height, width = size
    if min(height, width) < multiple or height % multiple or width % multiple:
        raise DatasetError(
            f"size is {height} x {width} (height x width, pixels); both must be positive multiples of {multiple}"
        )
    return int(height), int(width)


def check_index(index: int, length: int, what: str) -> int:
    """Return the index if it is from 0 to ``length - 1``; IndexError naming ``what`` otherwise."""
    if not 0 <= index < length:
        raise IndexError(f"{what} has {length} samples; index {index} is not one of 0 to {length - 1}")
    return index
