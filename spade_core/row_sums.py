"""Sums of rows of a table, differentiable and deterministic: what a convolution over a one-hot map is."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class Bags:
    """Which rows of a table are added up for each row of a result."""

    def __init__(self, entries: Tensor, rows: int) -> None:
        """``entries`` (B, m) int64 are row numbers of a table with ``rows`` rows; each of the B bags adds m of them."""
        self.entries = entries
        self.rows = rows

    @cached_property
    def transposed(self) -> tuple[Tensor, Tensor]:
        """For the backward: the bags in which each row lies, row after row, and where in this list each row begins."""
        flat = self.entries.flatten()
        values, order = flat.sort(stable=True)
        begins = torch.searchsorted(values, torch.arange(self.rows, device=flat.device))
        return order // self.entries.shape[1], begins


def sum_rows(table: Tensor, bags: Bags) -> Tensor:
    """(rows, F) to (B, F): the sum of the rows in each bag."""
    result = _SumRows.apply(table, bags)
    assert isinstance(result, Tensor)
    return result


def sum_rows_backward(gradient: Tensor, bags: Bags) -> Tensor:
    """The gradient (rows, F) of the table from the gradient (B, F) of the sums."""
    sources, begins = bags.transposed
    return F.embedding_bag(sources, gradient, begins, mode="sum")


class _SumRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, bags: Bags) -> Tensor:
        ctx.bags = bags
        return F.embedding_bag(bags.entries, table, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return sum_rows_backward(gradients[0].contiguous(), ctx.bags), None
