"""What the networks of the paper can be built as. Free of torch, so that registries and planners can use it.

Every class validates its fields and has a ``build`` that imports torch when called. The defaults are the released
configuration for COCO-Stuff and ADE20K at 256 x 256 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from spade_core.label_spec import LabelSpec

if TYPE_CHECKING:
    from torch import nn

    from spade_core.encoder import ImageEncoder
    from spade_core.generators import SpadeGenerator

Upsampling = Literal["normal", "more", "most"]
"""Doublings of the resolution between the first block and the image: 5, 6 and 7."""
NormKind = Literal["sync_batch", "batch", "instance"]
"""Statistics over all ranks, over the local batch, or over each image."""
Source = Literal["segmap", "z"]
"""What the first layer of the decoder sees: the small label map, or a random vector."""
DiscriminatorKind = Literal["patch", "resnet", "spade"]
"""The paper's; residual blocks; the paper's with SPADE in place of its instance norms."""
Initialization = Literal["released", "glorot", "pix2pixhd", "crn"]
"""The schemes of ``spade_core.initialization.initialize``."""

UPSAMPLING_LAYERS: dict[Upsampling, int] = {"normal": 5, "more": 6, "most": 7}
KERNELS = (1, 3, 5)


def positive(name: str, value: int) -> list[str]:
    """The problem, if any, with a count that has to be at least 1."""
    return [] if value >= 1 else [f"{name} is {value}; it must be at least 1"]


def one_of(name: str, value: object, allowed: Sequence[object]) -> list[str]:
    """The problem, if any, with a value that has to be one of those ``allowed``."""
    return [] if value in allowed else [f"{name} is {value!r}; allowed are {', '.join(map(repr, allowed))}"]


def raise_all(owner: object, problems: Sequence[str]) -> None:
    """Raise one ValueError that names all ``problems`` of the settings ``owner``; nothing if there are none."""
    if problems:
        raise ValueError(f"{type(owner).__name__}: " + "; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class SpadeSettings:
    """The SPADE decoder (paper, section 3 and figure 12; architecture as in the released code)."""

    width: int = 64
    """Channels after the last block of normal upsampling; the first block has 16 times as many. Released: ngf."""
    upsampling: Upsampling = "normal"
    """normal for 256 x 256 pixels, more for Cityscapes at 512 x 256 (start of 8 x 4)."""
    norm: NormKind = "sync_batch"
    """The normalization without parameters inside SPADE (Table 4)."""
    kernel: int = 3
    """Kernel of the convolutions on the label map (Table 4: 1, 3 or 5 pixels)."""
    hidden: int = 128
    """Channels between the two convolutions on the label map."""
    source: Source = "segmap"
    """What the first layer sees (Table 4). ``z`` is needed with an image encoder."""
    z_dim: int = 256
    """Length of the random vector when ``source`` is ``z``; unused otherwise."""
    spectral_norm: bool = True
    """Whether the convolutions of the residual blocks are spectrally normalized."""

    def __post_init__(self) -> None:
        raise_all(
            self,
            [
                *positive("width", self.width),
                *one_of("upsampling", self.upsampling, get_args(Upsampling)),
                *one_of("norm", self.norm, get_args(NormKind)),
                *one_of("kernel", self.kernel, KERNELS),
                *positive("hidden", self.hidden),
                *one_of("source", self.source, get_args(Source)),
                *positive("z_dim", self.z_dim),
                *smallest_width(self.width, self.upsampling),
            ],
        )

    def build(self, spec: LabelSpec, size: tuple[int, int]) -> SpadeGenerator:
        """The generator for label maps of ``spec`` and images of ``size`` (height, width) in pixels.

        A ValueError if the size does not fit the number of upsampling layers.
        """
        from spade_core.generators import spade_generator

        return spade_generator(self, spec, size)


def smallest_width(width: int, upsampling: Upsampling) -> list[str]:
    """The problem, if any, with a width that the last block of ``most`` upsampling halves to nothing."""
    if upsampling == "most" and width == 1:
        return ["width is 1; upsampling 'most' halves it once more, so it must be at least 2"]
    return []


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings:
    """The multi-scale patch discriminator (paper, figure 13; pix2pixHD's, with spectral norm), and others like it."""

    kind: DiscriminatorKind = field(default="patch", metadata={"semantic": "unless default"})
    """``resnet`` and ``spade`` are reconstructions: the paper says that it tried such, and no more."""
    scales: int = 2
    """Discriminators, each on an image of half the size of the one before."""
    layers: int = 4
    """Convolutions (residual blocks) before the one that gives the logits; the last of them has stride 1, the others 2.

    4 is the released SPADE (its n_layers_D 4) and pix2pixHD (whose n_layers_D 3 counts one less); 5 is the
    deeper discriminator of Table 5."""
    width: int = 64
    """Channels of the first convolution; doubled up to 512. Released: ndf."""
    spectral_norm: bool = True
    """Whether the convolutions between first and last are spectrally normalized, and then without biases as in the
    released SPADE. Without it they have biases, as in pix2pixHD. Residual blocks have it in every convolution."""
    hidden: int = field(default=128, metadata={"semantic": "unless default"})
    """Channels inside SPADE; unused without it."""
    kernel: int = field(default=3, metadata={"semantic": "unless default"})
    """Kernel of the convolutions inside SPADE in px; unused without it."""

    def __post_init__(self) -> None:
        problems = [
            *one_of("kind", self.kind, get_args(DiscriminatorKind)),
            *positive("scales", self.scales),
            *positive("width", self.width),
            *positive("hidden", self.hidden),
            *one_of("kernel", self.kernel, KERNELS),
        ]
        if self.layers < 2:
            problems.append(f"layers is {self.layers}; it must be at least 2 (the first and one with stride 1)")
        raise_all(self, problems)

    def build(self, spec: LabelSpec) -> nn.Module:
        """The discriminator for the one-hot maps of ``spec`` with an RGB image behind them.

        It maps a ``Conditioned`` to the outputs of all layers for each scale, the last of them the logits.
        """
        from spade_core.discriminators import MultiscaleDiscriminator
        from spade_core.other_discriminators import multiscale_residual, multiscale_spade

        if self.kind == "resnet":
            return multiscale_residual(self, spec.channels + 3)
        if self.kind == "spade":
            return multiscale_spade(self, spec.channels + 3)
        return MultiscaleDiscriminator(
            spec.channels + 3,
            scales=self.scales,
            layers=self.layers,
            width=self.width,
            spectral_norm=self.spectral_norm,
        )


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """The image encoder of the variational variant (paper, figure 14)."""

    width: int = 64
    """Channels of the first convolution; doubled up to 8 times as many. Released: ngf."""
    z_dim: int = 256
    """Length of the mean and of the log variance."""
    spectral_norm: bool = True
    """Whether the convolutions are spectrally normalized."""

    def __post_init__(self) -> None:
        raise_all(self, [*positive("width", self.width), *positive("z_dim", self.z_dim)])

    def build(self) -> ImageEncoder:
        """The encoder for RGB images of any size."""
        from spade_core.encoder import ImageEncoder

        return ImageEncoder(width=self.width, z_dim=self.z_dim, spectral_norm=self.spectral_norm)
