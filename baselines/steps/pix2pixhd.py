"""pix2pixHD's own step: one fake serves both losses, and the discriminator sees three separate batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baselines.batch import Batch
from baselines.steps.step import TrainingStep, frozen, mean_losses
from spade_core.discriminators import Conditioned
from spade_core.losses import feature_matching_loss


class Pix2pixHDStep(TrainingStep):
    """As in the released pix2pixHD code: both gradients are taken before either optimiser steps.

    Discriminator passes: detached fake, real, fake. Adversarial losses are summed over the scales; the
    discriminator's is half the sum of fake and real.
    """

    def __call__(self, parts: Sequence[Batch]) -> dict[str, Tensor]:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        all_losses = []
        for number, batch in enumerate(parts, start=1):
            with self.synchronised(("generator", "discriminator"), last=number == len(parts)):
                with self.autocast():
                    losses = self.losses(batch)
                for role in ("generator", "discriminator"):
                    terms = [value for name, value in losses.items() if name.startswith(role)]
                    (torch.stack(terms).sum() / len(parts)).backward()  # type: ignore[no-untyped-call]
            all_losses.append(losses)
        for optimizer in self.optimizers.values():
            optimizer.step()
        return mean_losses(all_losses)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted scalar losses of both networks by name, from one forward of the generator."""
        discriminator = self.networks.discriminator
        assert discriminator is not None, "pix2pixHD's step needs a discriminator"
        label_map = batch.label_map()
        fake = self.wrapped("generator")(label_map, None)

        of_detached = self.wrapped("discriminator")(Conditioned(label_map=label_map, images=fake.detach()))
        of_real = self.wrapped("discriminator")(Conditioned(label_map=label_map, images=batch.images))
        with frozen(discriminator):
            of_fake = discriminator(Conditioned(label_map=label_map, images=fake))

        adversarial = self.generator_loss([scale[-1] for scale in of_fake], reduction="sum")
        losses = {"generator/adversarial": adversarial}
        if self.recipe.feature_matching_weight:
            matching = feature_matching_loss(of_fake, of_real)
            losses["generator/feature_matching"] = matching * self.recipe.feature_matching_weight
        if self.recipe.perceptual_weight and self.perceptual is not None:
            losses["generator/perceptual"] = self.perceptual(fake, batch.images) * self.recipe.perceptual_weight
        fake_loss, real_loss = self.discriminator_loss(
            [scale[-1] for scale in of_detached], [scale[-1] for scale in of_real], reduction="sum"
        )
        losses["discriminator/fake"] = fake_loss * 0.5
        losses["discriminator/real"] = real_loss * 0.5
        return losses
