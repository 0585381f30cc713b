"""CRN's step: regression on images and features, without a discriminator, for each class by the best of k images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from baselines.batch import Batch
from baselines.crn.features import PerceptualFeatures
from baselines.crn.loss import IMAGE_DIVISOR, TermBalance, class_distances, mostly_the_best
from baselines.recipe import Recipe
from baselines.steps.step import Networks, TrainingStep, mean_losses


class CrnStep(TrainingStep):
    """One Adam step on the weighted distances at the image and at each layer of the perceptual network.

    Chen and Koltun, sections 3 and 3.3, and the released code. ``perceptual`` is a PerceptualFeatures; without one
    the distance at the image alone remains.
    """

    def __init__(self, recipe: Recipe, networks: Networks, perceptual: nn.Module | None) -> None:
        super().__init__(recipe, networks, perceptual)
        if perceptual is not None and not isinstance(perceptual, PerceptualFeatures):
            raise TypeError(f"CRN's step compares layers of a PerceptualFeatures, not a {type(perceptual).__name__}")
        self.features = perceptual if recipe.perceptual_weight else None
        terms = 1 + (len(self.features.layers) if self.features is not None else 0)
        self.balance = TermBalance(terms, recipe.balance_after_epochs)

    def __call__(self, parts: Sequence[Batch]) -> dict[str, Tensor]:
        self.balance.begin_step(self.epoch)
        optimizer = self.optimizers["generator"]
        optimizer.zero_grad(set_to_none=True)
        all_losses, all_terms = [], []
        for number, batch in enumerate(parts, start=1):
            with self.synchronised(("generator",), last=number == len(parts)):
                with self.autocast():
                    weighted, terms = self.terms(batch)
                (weighted.sum() / len(parts)).backward()  # type: ignore[no-untyped-call]
            losses = {"generator/pixel": weighted[0]}
            if self.features is not None:
                losses["generator/perceptual"] = weighted[1:].sum()
            all_losses.append(losses)
            all_terms.append(terms.detach())
        optimizer.step()
        self.balance.count(torch.stack(all_terms).mean(0), self.epoch)
        return mean_losses(all_losses)

    def terms(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Each term, the image first, then the layers: weighted as it enters the loss, and before any weight."""
        label_map, spec = batch.label_map(), batch.spec
        fake = self.wrapped("generator")(label_map, None, every_image=True)
        kind = torch.promote_types(fake.dtype, torch.float32)
        masks = label_map.one_hot(label_map.size, kind)[:, : spec.ids]
        height = batch.images.shape[2]
        pairs = [(fake.flatten(0, 1) * 127.5, batch.images * 127.5)]
        divisors: Sequence[float] = (IMAGE_DIVISOR,)
        if self.features is not None:
            with torch.no_grad():
                real_features = self.features(batch.images)
            pairs += zip(self.features(fake.flatten(0, 1)), real_features, strict=True)
            divisors = self.features.divisors_at(height)
        distances = torch.stack([class_distances(drawn, real, masks) for drawn, real in pairs])
        weight = self.recipe.perceptual_weight
        weights = distances.new_tensor([1.0, *[weight] * (len(pairs) - 1)])
        scales = weights / self.balance.divisors(divisors).to(distances)
        return mostly_the_best(distances, scales)

    def state_dict(self) -> dict[str, Any]:
        """What the terms were on average, and what they are divided by since; equal on every rank."""
        return self.balance.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.balance.load_state_dict(state)
