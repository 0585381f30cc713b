"""CRN's loss: distances of images and features by class, the best of several images, and the weights of its terms.

Letters of shapes: N label maps, I images drawn for each, K labels, T terms (the image and the perceptual layers).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from baselines.crn.network import area_averaged
from spade_core.sync_batch_norm import several_ranks, sum_over_ranks

_OF_THE_BEST, _OF_THE_MEAN = 0.999, 0.001
"""Weights of the best image and of the mean over all of them, without which no gradient reaches the others."""
IMAGE_DIVISOR = 1.0
"""What the distance at the image (0 to 255) is divided by, in every released configuration."""
_SMALLEST = 1e-6


def class_distances(drawn: Tensor, real: Tensor, masks: Tensor) -> Tensor:
    """L1 distance of ``drawn`` (N * I, C, h, w) from ``real`` (N, C, h, w), on the pixels of each label: (N, I, K).

    ``masks`` is the one-hot map (N, K, H, W) at full size. The mean over the channels, summed over the pixels of a
    label and divided by all pixels, so that the sum over the labels is the mean distance (Chen and Koltun, equation 4).
    """
    kind = torch.promote_types(drawn.dtype, torch.float32)
    several = drawn.reshape(len(real), -1, *drawn.shape[1:])
    difference = (several - real[:, None]).abs().mean(2, dtype=kind)
    share = area_averaged(masks, (drawn.shape[2], drawn.shape[3])).to(kind)
    device = drawn.device.type  # meta has no autocast to switch off
    with nullcontext() if device == "meta" else torch.autocast(device, enabled=False):  # sums over many pixels
        sums = torch.bmm(difference.flatten(2), share.flatten(2).transpose(1, 2))
    return sums / (drawn.shape[2] * drawn.shape[3])


def mostly_the_best(distances: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    """From distances (T, N, I, K): the loss of each term (T,), multiplied by its scale (T,), and not multiplied.

    For each label of each map the image with the least scaled sum over the terms counts 0.999, the mean over the
    images 0.001; summed over the labels and averaged over the maps. With one image that is its mean distance.
    """
    scaled = distances * scales[:, None, None, None]
    best = scaled.detach().sum(0).argmin(1)  # (N, K)
    index = best[None, :, None, :].expand(len(distances), -1, 1, -1)
    of_best = distances.gather(2, index).squeeze(2)
    terms = (_OF_THE_BEST * of_best + _OF_THE_MEAN * distances.mean(2)).sum(2).mean(1)
    return terms * scales, terms


class TermBalance:
    """What each term is divided by: as released, or, after so many epochs, its own mean over the last of them.

    The mean is over all ranks and over the steps of the latest epoch up to ``after_epochs`` that had any; every rank
    has the same, so it goes on with another number of ranks.
    """

    def __init__(self, terms: int, after_epochs: int | None) -> None:
        self.after_epochs = after_epochs
        self._epoch = 0
        self._steps = 0
        self._sums = torch.zeros(terms, dtype=torch.float64)
        self._collected: Tensor | None = None

    @property
    def collected(self) -> Tensor | None:
        """The means of the terms (T,), float64, once the epochs are over; None before."""
        return self._collected

    def begin_step(self, epoch: int) -> None:
        """To be called in front of each step with its epoch, from 1."""
        if self.after_epochs is not None and epoch > self.after_epochs and self._collected is None and self._steps:
            self._collected = (self._sums / self._steps).clamp(min=_SMALLEST)

    def count(self, terms: Tensor, epoch: int) -> None:
        """Add one step's unweighted terms (T,); every rank calls this."""
        if self.after_epochs is None or epoch > self.after_epochs:
            return
        if epoch != self._epoch:
            self._epoch, self._steps, self._sums = epoch, 0, torch.zeros_like(self._sums)
        values = torch.cat([terms, terms.new_ones(1)])
        if several_ranks(None):
            sum_over_ranks(values, None)
        self._sums = self._sums.to(values.device) + values[:-1].double() / values[-1]
        self._steps += 1

    def divisors(self, released: Sequence[float]) -> Tensor:
        """What to divide the terms by (T,), float64; ``released`` before the means are there."""
        return self._collected if self._collected is not None else torch.tensor(released, dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        """All that it goes on from."""
        return {"epoch": self._epoch, "steps": self._steps, "sums": self._sums, "collected": self._collected}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``. A ValueError if it is of another number of terms."""
        if state["sums"].shape != self._sums.shape:
            raise ValueError(
                f"the state is of {len(state['sums'])} loss terms, this step has {len(self._sums)}: another recipe"
            )
        self._epoch, self._steps = state["epoch"], state["steps"]
        self._sums, self._collected = state["sums"], state["collected"]
