"""What the networks other than SPADE's can be built as. Free of torch, so that registries and planners can use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from spade_core.label_spec import LabelSpec
from spade_core.settings import KERNELS, NormKind, Source, Upsampling, one_of, positive, raise_all, smallest_width

if TYPE_CHECKING:
    from baselines.conditional import ConditionalDecoder
    from baselines.crn.network import CrnGenerator
    from baselines.pix2pixhd import LocalEnhancer, Pix2pixHDGenerator
    from spade_core.generators import SpadeGenerator

CRN_FIRST_PX = 4
"""Height of CRN's first refinement module."""
_CRN_WIDTHS = (1, 1, 1, 1, 1, 1 / 2, 1 / 2, 1 / 8, 1 / 32)
"""Channels of CRN's modules at 4, 8, ... 1024 px height, as a share of the widest (released code, demo_1024p)."""

Conditioning = Literal["input", "spade", "concat"]
"""Where the label map enters: at the first layer only, also by SPADE in place of every normalization, or also by
concatenation to the input of every residual block."""


@dataclass(frozen=True, kw_only=True)
class Pix2pixHDSettings:
    """pix2pixHD's global generator, and pix2pixHD++ with its two ways to show it the label map again (Table 3).

    pix2pixHD is ``norm="instance", spectral_norm=False``; pix2pixHD++ is ``norm="sync_batch", spectral_norm=True``,
    which is what the released SPADE code builds for it.
    """

    width: int = 64
    """Channels of the first convolution; doubled by each downsampling. Released: ngf."""
    down: int = 4
    """Halvings of the resolution before the residual blocks, doublings after them."""
    blocks: int = 9
    """Residual blocks."""
    norm: NormKind
    """Batch norms learn scale and shift; instance norm does not."""
    spectral_norm: bool
    """Whether all convolutions but the last are spectrally normalized."""
    conditioning: Conditioning = "input"
    """``spade`` and ``concat`` are reconstructions: no code for them was released."""
    hidden: int = 128
    """Channels inside SPADE; unused without it."""
    kernel: int = 3
    """Kernel of the convolutions inside SPADE, in pixels; unused without it."""

    def __post_init__(self) -> None:
        raise_all(
            self,
            [
                *positive("width", self.width),
                *positive("down", self.down),
                *positive("blocks", self.blocks),
                *one_of("norm", self.norm, get_args(NormKind)),
                *one_of("conditioning", self.conditioning, get_args(Conditioning)),
                *positive("hidden", self.hidden),
                *one_of("kernel", self.kernel, KERNELS),
            ],
        )

    @property
    def convolution_biases(self) -> bool:
        """Whether convolutions before a normalization have biases: in pix2pixHD's own code only.

        They change nothing there but the parameter count; the SPADE code removes them.
        """
        return self.norm == "instance" and not self.spectral_norm and self.conditioning != "spade"

    def build(self, spec: LabelSpec, size: tuple[int, int]) -> Pix2pixHDGenerator:
        """The generator for label maps of ``spec`` and images of ``size`` (height, width) in pixels.

        A ValueError if the size does not fit the number of halvings.
        """
        from baselines.pix2pixhd import Pix2pixHDGenerator

        return Pix2pixHDGenerator(self, spec, size)


def _global_settings() -> Pix2pixHDSettings:
    return Pix2pixHDSettings(norm="instance", spectral_norm=False)


@dataclass(frozen=True, kw_only=True)
class LocalEnhancerSettings:
    """pix2pixHD's local enhancer: the global generator on the half-size map, finished at full size."""

    global_generator: Pix2pixHDSettings = field(default_factory=_global_settings)
    """The generator within; twice as wide as the enhancer, label map at the input only."""
    width: int = 32
    """Channels of the first convolution of the enhancer. Released: ngf."""
    blocks: int = 3
    """Residual blocks of the enhancer."""

    def __post_init__(self) -> None:
        problems = [*positive("width", self.width), *positive("blocks", self.blocks)]
        if self.global_generator.width != 2 * self.width:
            problems.append(
                f"width is {self.width} and global_generator.width {self.global_generator.width}; their features are "
                "added, so the global generator must be twice as wide"
            )
        if self.global_generator.conditioning != "input":
            problems.append(
                f"global_generator.conditioning is {self.global_generator.conditioning!r}; the local enhancer has "
                "only 'input'"
            )
        raise_all(self, problems)

    def build(self, spec: LabelSpec, size: tuple[int, int]) -> LocalEnhancer:
        """The generator for label maps of ``spec`` and images of ``size`` (height, width) in pixels.

        A ValueError if the size does not fit the number of halvings.
        """
        from baselines.pix2pixhd import LocalEnhancer

        return LocalEnhancer(self, spec, size)


@dataclass(frozen=True, kw_only=True)
class ConcatDecoderSettings:
    """The decoder with concatenated label maps in place of SPADE (Table 3); a reconstruction, no code was released."""

    width: int = 64
    """Channels after the last block of normal upsampling, as in SpadeSettings."""
    upsampling: Upsampling = "normal"
    """As in SpadeSettings."""
    norm: NormKind = "sync_batch"
    """The normalization, without learned scale and shift."""
    spectral_norm: bool = True
    """Whether the convolutions of the residual blocks are spectrally normalized."""

    def __post_init__(self) -> None:
        raise_all(
            self,
            [
                *positive("width", self.width),
                *one_of("upsampling", self.upsampling, get_args(Upsampling)),
                *one_of("norm", self.norm, get_args(NormKind)),
                *smallest_width(self.width, self.upsampling),
            ],
        )

    def build(self, spec: LabelSpec, size: tuple[int, int]) -> SpadeGenerator:
        """The generator for label maps of ``spec`` and images of ``size`` (height, width) in pixels.

        A ValueError if the size does not fit the number of upsampling layers.
        """
        from baselines.concat import concat_decoder

        return concat_decoder(self, spec, size)


Condition = Literal["class", "style"]
"""What scale and shift depend on: the label that covers most of the map, or a style code z."""


@dataclass(frozen=True, kw_only=True)
class ConditionalDecoderSettings:
    """The decoder with scale and shift that are the same at every pixel: conditional batch norm, or AdaIN.

    Conditional batch norm is ``condition="class"`` on batch norm; AdaIN is ``condition="style"`` on instance norm.
    """

    condition: Condition
    """Of the class there is one for an image: no data set here has any other, so it is its most frequent label."""
    norm: NormKind
    """The normalization that is modulated."""
    width: int = 64
    """Channels after the last block of normal upsampling, as in SpadeSettings."""
    upsampling: Upsampling = "normal"
    """As in SpadeSettings."""
    z_dim: int = 256
    """Length of the style code; unused with the class."""
    spectral_norm: bool = True
    """Whether the convolutions of the residual blocks are spectrally normalized."""

    def __post_init__(self) -> None:
        raise_all(
            self,
            [
                *one_of("condition", self.condition, get_args(Condition)),
                *one_of("norm", self.norm, get_args(NormKind)),
                *positive("width", self.width),
                *one_of("upsampling", self.upsampling, get_args(Upsampling)),
                *positive("z_dim", self.z_dim),
                *smallest_width(self.width, self.upsampling),
            ],
        )

    @property
    def source(self) -> Source:
        """``z`` where the generator takes one, here for its modulation; its first layer sees the label map always."""
        return "z" if self.condition == "style" else "segmap"

    def build(self, spec: LabelSpec, size: tuple[int, int]) -> ConditionalDecoder:
        """The generator for label maps of ``spec`` and images of ``size`` (height, width) in pixels.

        A ValueError if the size does not fit the number of upsampling layers.
        """
        from baselines.conditional import ConditionalDecoder

        return ConditionalDecoder(self, spec, size)


@dataclass(frozen=True, kw_only=True)
class SpadeLiteralSettings:
    """The SPADE decoder as figures 11 and 12 of the paper draw it; a reconstruction.

    Figure 12 doubles seven times from 4 x 4, which gives 512 px; the doubling behind the last block is left out.
    """

    width: int = 64
    """As in SpadeSettings."""
    norm: NormKind = "sync_batch"
    """As in SpadeSettings."""
    kernel: int = 3
    """As in SpadeSettings."""
    hidden: int = 128
    """As in SpadeSettings."""
    source: Source = "z"
    """What the first layer sees; figure 12 starts from a random vector."""
    z_dim: int = 256
    """Length of the random vector; unused without it."""
    shortcut_kernel: int = 3
    """Kernel of the shortcut's convolution in px; figure 11 draws 3, the released code has 1."""
    spectral_norm: bool = True
    """Whether the convolutions of the residual blocks are spectrally normalized."""

    def __post_init__(self) -> None:
        raise_all(
            self,
            [
                *positive("width", self.width),
                *one_of("norm", self.norm, get_args(NormKind)),
                *one_of("kernel", self.kernel, KERNELS),
                *positive("hidden", self.hidden),
                *one_of("source", self.source, get_args(Source)),
                *positive("z_dim", self.z_dim),
                *one_of("shortcut_kernel", self.shortcut_kernel, KERNELS),
            ],
        )

    def build(self, spec: LabelSpec, size: tuple[int, int]) -> SpadeGenerator:
        """The generator for label maps of ``spec`` and images of ``size`` (height, width), multiples of 64, in pixels.

        A ValueError if the size does not fit.
        """
        from baselines.literal import literal_decoder

        return literal_decoder(self, spec, size)


@dataclass(frozen=True, kw_only=True)
class CrnSettings:
    """The cascaded refinement network (Chen and Koltun 2017), for images of 4 to 2047 px height."""

    width: int = 1024
    """Channels of the modules up to 64 px; half of it at 128 and 256, an eighth at 512, a 32nd at 1024 px. Released:
    1024."""
    images: int = 9
    """Images that one pass draws, of which the diversity loss takes the best for each class; 1 is the plain network.

    Released: 9 at 256 px, 1 at 512 and 1024."""

    def __post_init__(self) -> None:
        raise_all(self, [*positive("width", self.width), *positive("images", self.images)])

    def widths(self, modules: int) -> list[int]:
        """Output channels of each of so many modules. A ValueError for more than the published network has."""
        if modules > len(_CRN_WIDTHS):
            raise ValueError(
                f"CRN was published with at most {len(_CRN_WIDTHS)} modules (images of up to 2047 px height); these "
                f"images need {modules}. Resize them"
            )
        return [max(1, round(self.width * share)) for share in _CRN_WIDTHS[:modules]]

    def build(self, spec: LabelSpec, size: tuple[int, int]) -> CrnGenerator:
        """The generator for label maps of ``spec`` and images of ``size`` (height, width) in pixels."""
        from baselines.crn.network import CrnGenerator

        return CrnGenerator(self, spec, size)
