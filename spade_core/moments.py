"""Mean and deviation of features as the normalizations without parameters see them, before anything is normalized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from spade_core.sync_batch_norm import (
    SyncBatchNorm2d,
    global_moments,
    several_ranks,
    sum_over_ranks,
    update_running_statistics,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What a batch norm subtracts and divides by, per channel."""

    mean: Tensor
    """(C,), float32 at least."""
    inverse_std: Tensor
    """(C,), 1 / sqrt(biased variance + epsilon)."""
    count: Tensor | None
    """Values per channel over all ranks that share statistics, a scalar; None where mean and deviation are constants
    (running statistics), so that no gradient passes through them."""
    sum_over_ranks: Callable[[Tensor], None] | None = None
    """Where several ranks share statistics: sums a tensor over them, in place, as gradients of the moments need it."""


def shared_moments(
    norms: Sequence[nn.Module], x: Tensor, *, copies: int = 1
) -> tuple[Tensor, Sequence[Moments | None]]:
    """For normalizations of one kind (``param_free_norm``) that all see ``x`` (N, C, H, W): what each has left to do.

    Returns features and, for each norm, the moments to normalize them by. Batch norms leave ``x`` as it is; in training
    mode they take its statistics once, and the running statistics of all move as in their own forward. Other norms have
    statistics of each image: they return normalized features, and None. With ``copies`` every value of ``x`` counts so
    many times. A ValueError if a batch norm in training mode sees one value per channel.
    """
    first = norms[0]
    if not isinstance(first, nn.BatchNorm2d):
        return first(x), [None] * len(norms)
    batch_norms = [norm for norm in norms if isinstance(norm, nn.BatchNorm2d)]
    if not first.training:
        return x, [_running_moments(norm) for norm in batch_norms]
    return x, _batch_moments(batch_norms, x.detach(), copies)


def _running_moments(norm: nn.BatchNorm2d) -> Moments:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return Moments(mean=norm.running_mean, inverse_std=torch.rsqrt(norm.running_var + norm.eps), count=None)


@torch.no_grad()
def _batch_moments(norms: Sequence[nn.BatchNorm2d], x: Tensor, copies: int) -> list[Moments]:
    first, reduction = norms[0], None
    if isinstance(first, SyncBatchNorm2d) and several_ranks(first.group):
        mean, variance, count = global_moments(x, first.group)
        count = count * copies
        reduction = partial(sum_over_ranks, group=first.group)
    else:
        values = x.numel() // x.shape[1] * copies
        if values <= 1:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got features of the shape {tuple(x.shape)}: "
                "batch norm needs a larger batch or larger images"
            )
        mean, variance = torch.batch_norm_update_stats(x if x.dtype == torch.float64 else x.float(), None, None, 0.0)
        count = torch.full((), values, dtype=mean.dtype, device=x.device)
    for norm in norms:
        update_running_statistics(norm, mean, variance, count)
    inverse_std = torch.rsqrt(variance + first.eps)
    return [Moments(mean=mean, inverse_std=inverse_std, count=count, sum_over_ranks=reduction)] * len(norms)
