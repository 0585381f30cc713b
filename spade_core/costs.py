"""Which way to compute gamma and beta is the faster one: a model of both, from what was measured on the device.

On the CPU the choice depends on the label map and the layer alone, not on a clock: the same input takes the same way,
so results can be repeated to the bit. On a GPU the rates are measured once (``spade_core.calibration``).
"""

from __future__ import annotations

from dataclasses import dataclass

_FEW_VALUES = 20_480
"""Inputs of no more values, of a single image, torch convolves on the CPU by a kernel that is not optimized."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a device does in a second."""

    convolution_flop: float
    """Operations of a 3 x 3 convolution at every pixel; a multiplication and an addition are two."""
    small_convolution_flop: float
    """The same on inputs of few values."""
    product_flop: float
    """Operations of the matrix products with few rows that make a table."""
    gathered_bytes: float
    """Bytes read where rows of a table are added up or fetched."""


CPU = Rates(convolution_flop=1.0e11, small_convolution_flop=0.25e11, product_flop=0.65e11, gathered_bytes=0.75e10)
"""One core with AVX-512, float32; more cores change all alike."""
CUDA = Rates(convolution_flop=3.0e14, small_convolution_flop=3.0e14, product_flop=1.0e14, gathered_bytes=1.5e12)
"""An estimate for a GPU with tensor cores, for where nothing may be measured; itself not measured yet."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A pair of convolutions (gamma and beta) over the hidden activations of a label map."""

    channels: int
    hidden: int
    kernel: int

    @property
    def flop(self) -> float:
        """Operations for one pixel."""
        return 2.0 * 2 * self.channels * self.hidden * self.kernel**2


def tables_are_faster(layer: Layer, *, pixels: int, windows: int, patches: int, rates: Rates) -> bool:
    """Whether to compute gamma and beta for each distinct neighbourhood and fetch them, and not at every pixel.

    ``windows`` are distinct inputs of the layer's hidden activations, ``patches`` distinct neighbourhoods of those.
    """
    row_bytes = 4.0 * 2 * layer.channels
    tables = layer.flop * windows / rates.product_flop
    tables += row_bytes * (patches * layer.kernel**2 + pixels) / rates.gathered_bytes
    small = pixels * layer.hidden <= _FEW_VALUES
    return tables < layer.flop * pixels / (rates.small_convolution_flop if small else rates.convolution_flop)


def rates_of(device_type: str) -> Rates:
    """The rates of a kind of device, as in ``torch.device.type``."""
    return CPU if device_type == "cpu" else CUDA
