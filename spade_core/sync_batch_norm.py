"""Batch normalization with the statistics of the batches of all ranks, on any backend of torch.distributed.

torch's own SyncBatchNorm refuses CPU tensors; this one runs on gloo as well, so that two processes on a laptop can be
compared with one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

_OVER = (0, 2, 3)


def global_moments(x: Tensor, group: dist.ProcessGroup | None) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, biased variance (C,) and number of values per channel over all ranks; ``x`` is (N, C, H, W).

    Each rank writes its own moments into its row of a table, one sum over the ranks completes the table, and the rows
    are combined by the formula of Chan et al.: no difference of large squares, and ranks may hold unequal batches.
    """
    channels = x.shape[1]
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    table = torch.zeros(dist.get_world_size(group), 2 * channels + 1, dtype=kind, device=x.device)
    if x.numel() > 0:
        var, mean = torch.var_mean(x.to(kind), dim=_OVER, correction=0)
        row = table[dist.get_rank(group)]
        row[:channels] = mean
        row[channels:-1] = var
        row[-1] = x.numel() // channels
    dist.all_reduce(table, group=group)
    means, variances, counts = table[:, :channels], table[:, channels:-1], table[:, -1:]
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    var = (counts * (variances + (means - mean).square())).sum(0) / total
    return mean, var, total


class _SyncedNormalization(torch.autograd.Function):
    """Normalization by given moments that are themselves functions of the inputs of all ranks.

    Saves the input only; the backward sums the two moments of the gradient over the ranks.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        moments: tuple[Tensor, Tensor, Tensor],
        eps: float,
        group: dist.ProcessGroup | None,
    ) -> Tensor:
        mean, var, total = moments
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(var + eps), total)
        ctx.has_bias = bias is not None
        ctx.group = group
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse_std, total = ctx.saved_tensors
        gradient = gradients[0].to(mean.dtype)
        normalized = (x.to(mean.dtype) - mean[:, None, None]) * inverse_std[:, None, None]
        sums = torch.stack([gradient.sum(_OVER), (gradient * normalized).sum(_OVER)])
        weight_gradient = sums[1].to(weight.dtype) if weight is not None else None
        bias_gradient = sums[0].to(mean.dtype if weight is None else weight.dtype) if ctx.has_bias else None
        if not ctx.needs_input_grad[0]:
            return None, weight_gradient, bias_gradient, None, None, None
        sums = sums.clone()
        dist.all_reduce(sums, group=ctx.group)
        mean_gradient, mean_product = sums / total
        scale = inverse_std if weight is None else inverse_std * weight
        through = gradient - mean_gradient[:, None, None] - normalized * mean_product[:, None, None]
        return (through * scale[:, None, None]).to(x.dtype), weight_gradient, bias_gradient, None, None, None


class SyncBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose training statistics are those of all ranks together.

    Input and output are (N, C, H, W). Synchronizes in training mode when the default process group (or ``group``) has
    more than one rank; every rank must then call it. In one process, and in eval mode, it is ``nn.BatchNorm2d``.
    Moments are taken in float32 at least, so bfloat16 inputs are fine. Running variances are unbiased, over the values
    of all ranks. The gradients of weight and bias are the local ones, as DistributedDataParallel expects.
    """

    group: dist.ProcessGroup | None = None
    """Ranks that share statistics; None for all."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not several_ranks(self.group):
            return super().forward(input)
        self._check_input_dim(input)
        moments = global_moments(input.detach(), self.group)
        update_running_statistics(self, *moments)
        output = _SyncedNormalization.apply(input, self.weight, self.bias, moments, self.eps, self.group)
        assert isinstance(output, Tensor)
        return output


@torch.no_grad()
def update_running_statistics(norm: nn.BatchNorm2d, mean: Tensor, var: Tensor, total: Tensor) -> None:
    """Move the running statistics of ``norm`` by a mean and a biased variance (C,) over ``total`` values."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    factor = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    unbiased = var * (total / (total - 1).clamp(min=1))
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), factor)
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), factor)


def several_ranks(group: dist.ProcessGroup | None) -> bool:
    """Whether this process shares its work with others."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size(group) > 1


def sum_over_ranks(values: Tensor, group: dist.ProcessGroup | None) -> None:
    """Replace ``values`` by their sum over the ranks of ``group`` (None: all), each of which must call this."""
    dist.all_reduce(values, group=group)
