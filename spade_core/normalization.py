"""Normalizations: without parameters, with learned scale and shift, and spatially adaptive (SPADE)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from spade_core.labels import LabelMap, one_hot_dtype
from spade_core.settings import NormKind
from spade_core.sync_batch_norm import SyncBatchNorm2d


def param_free_norm(kind: NormKind, channels: int) -> nn.Module:
    """Normalization of (N, C, H, W) without learned scale and shift; epsilon 1e-5."""
    return _norm(kind, channels, affine=False)


def affine_norm(kind: NormKind, channels: int) -> nn.Module:
    """Normalization as in the released networks without SPADE: batch norms learn scale and shift, instance does not."""
    return _norm(kind, channels, affine=kind != "instance")


def _norm(kind: NormKind, channels: int, *, affine: bool) -> nn.Module:
    if kind == "sync_batch":
        return SyncBatchNorm2d(channels, affine=affine)
    if kind == "batch":
        return nn.BatchNorm2d(channels, affine=affine)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=affine)
    raise ValueError(f"normalization {kind!r} is unknown; allowed are 'sync_batch', 'batch' and 'instance'")


class SPADE(nn.Module):
    """Spatially-adaptive normalization (paper, equation 1; released form (1 + gamma) * x + beta).

    gamma and beta (N, C, H, W) come from the label map: a convolution to ``hidden`` channels with ReLU, and one
    convolution each. Names of the submodules as in the released checkpoints.
    """

    def __init__(self, channels: int, spec_channels: int, norm: NormKind, kernel: int, hidden: int) -> None:
        """``channels`` C of the features, ``spec_channels`` K of the one-hot map, ``kernel`` odd, in pixels."""
        super().__init__()
        padding = kernel // 2
        self.param_free_norm = param_free_norm(norm, channels)
        self.mlp_shared = nn.Sequential(nn.Conv2d(spec_channels, hidden, kernel, padding=padding), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, kernel, padding=padding)
        self.mlp_beta = nn.Conv2d(hidden, channels, kernel, padding=padding)

    def forward(self, x: Tensor, label_map: LabelMap) -> Tensor:
        """Normalize ``x`` (N, C, H, W) and modulate it by the label map, read at the size of ``x``."""
        normalized = self.param_free_norm(x)
        gamma, beta = self.modulation(label_map, (x.shape[2], x.shape[3]))
        modulated: Tensor = normalized * (1 + gamma) + beta
        return modulated

    def modulation(self, label_map: LabelMap, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """gamma and beta (N, C, h, w) of a label map at ``size`` (h, w)."""
        one_hot = label_map.one_hot(size, one_hot_dtype(self.mlp_gamma.weight))
        hidden = self.mlp_shared(one_hot)
        return self.mlp_gamma(hidden), self.mlp_beta(hidden)


def leaky_relu(x: Tensor) -> Tensor:
    """The released networks' leaky ReLU, slope 0.2 below zero."""
    return F.leaky_relu(x, 0.2)
