"""Distinct windows: complete, distinct, and numbered by the maps alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from spade_core.row_sums import Bags, sum_rows
from spade_core.windows import Frame, Windows, distinct_windows


def unfolded(codes: Tensor, frame: Frame, outside: int) -> Tensor:
    """Every window, (N, H', W', k * k), by padding and unfolding the map as a float64 image."""
    image = codes.unsqueeze(1).double() + 1  # so that the zeros of the padding are outside
    kind = "reflect" if frame.reflect else "constant"
    padded = F.pad(image, [frame.padding] * 4, mode=kind)
    columns = F.unfold(padded, frame.kernel, stride=frame.stride)
    height, width = ((n - frame.kernel) // frame.stride + 1 for n in padded.shape[2:])
    found = columns.transpose(1, 2).view(len(codes), height, width, -1).long() - 1
    return torch.where(found < 0, outside, found)


def check(windows: Windows, codes: Tensor, frame: Frame, outside: int) -> None:
    assert torch.equal(windows.contents[windows.of_pixel], unfolded(codes, frame, outside))
    assert len(torch.unique(windows.contents, dim=0)) == len(windows)


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.integers(1, 5),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    reflect=st.booleans(),
    shape=st.tuples(st.integers(1, 3), st.integers(5, 9), st.integers(5, 9)),
    outside=st.sampled_from([1, 3, 300, 2**20]),
    seed=st.integers(0, 1000),
)
def test_every_window_is_found_and_none_twice(
    kernel: int, stride: int, padding: int, reflect: bool, shape: tuple[int, int, int], outside: int, seed: int
) -> None:
    codes = torch.randint(0, outside, shape, generator=torch.Generator().manual_seed(seed))
    frame = Frame(kernel=kernel, stride=stride, padding=padding, reflect=reflect)
    check(distinct_windows(codes, frame, outside), codes, frame, outside)


def test_tuples_that_fit_no_integer_are_told_apart() -> None:
    """7 codes below 2**20 are 140 bits; equal but for their ends, they must not wrap around to one number."""
    outside = 2**20
    codes = torch.zeros(1, 7, 14, dtype=torch.long)
    codes[0, 0, 0] = outside - 1
    codes[0, 6, 13] = outside - 1
    frame = Frame(kernel=7, padding=0)
    windows = distinct_windows(codes, frame, outside)
    check(windows, codes, frame, outside)
    assert len(windows) == 3


def test_a_uniform_map_has_the_windows_of_its_border() -> None:
    codes = torch.full((2, 8, 9), 4)
    windows = distinct_windows(codes, Frame(kernel=3, padding=1), 5)
    assert len(windows) == 9
    assert windows.share == 9 / 144
    patches = distinct_windows(windows.of_pixel, Frame(kernel=3, padding=1), len(windows))
    assert len(patches) == 25


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 6),
    bags=st.integers(1, 7),
    members=st.integers(1, 5),
    width=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_sums_of_rows_and_their_gradient(rows: int, bags: int, members: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    entries = torch.randint(0, rows, (bags, members), generator=generator)
    table = torch.randn(rows, width, dtype=torch.float64, generator=generator, requires_grad=True)
    twin = table.detach().clone().requires_grad_()
    weight = torch.randn(bags, width, dtype=torch.float64, generator=generator)
    sums, expected = sum_rows(table, Bags(entries, rows)), twin[entries].sum(1)
    torch.testing.assert_close(sums, expected, rtol=1e-12, atol=1e-12)
    (sums * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(table.grad, twin.grad, rtol=1e-12, atol=1e-12)


def test_a_window_larger_than_the_map_is_an_error_of_torch() -> None:
    with pytest.raises(RuntimeError, match="[Pp]adding size should be less than"):
        distinct_windows(torch.zeros(1, 2, 2, dtype=torch.long), Frame(kernel=7, padding=3, reflect=True), 1)
