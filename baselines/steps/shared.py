"""The step of the recipes ``code`` and ``paper``: the generator is updated, then the discriminator on a new fake."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baselines.batch import Batch
from baselines.steps.step import TrainingStep, frozen, mean_losses, without_power_iteration
from spade_core.discriminators import Conditioned
from spade_core.labels import LabelMap
from spade_core.losses import feature_matching_loss, kl_divergence


class SharedStep(TrainingStep):
    """One generator step, then one discriminator step, as in the released SPADE code.

    Real and fake pass the discriminator with the same weights, as one batch; in the generator's step, which takes no
    gradient through the real images, one after the other, which is the same because all statistics are those of an
    image. The fake of the discriminator's step is generated again by the updated generator, without gradients and
    still in train mode: batch statistics and power iterations advance a second time. Without a discriminator only the
    first half remains.
    """

    def __call__(self, parts: Sequence[Batch]) -> dict[str, Tensor]:
        self.optimizers["generator"].zero_grad(set_to_none=True)
        generator_losses = []
        for number, batch in enumerate(parts, start=1):
            with self.synchronised(("generator", "encoder"), last=number == len(parts)):
                with self.autocast():
                    losses = self.generator_losses(batch)
                (torch.stack(list(losses.values())).sum() / len(parts)).backward()  # type: ignore[no-untyped-call]
            generator_losses.append(losses)
        self.optimizers["generator"].step()
        if self.networks.discriminator is None:
            return mean_losses(generator_losses)

        self.optimizers["discriminator"].zero_grad(set_to_none=True)
        discriminator_losses = []
        for number, batch in enumerate(parts, start=1):
            with self.synchronised(("discriminator",), last=number == len(parts)):
                with self.autocast():
                    losses = self.discriminator_losses(batch)
                (torch.stack(list(losses.values())).sum() / len(parts)).backward()  # type: ignore[no-untyped-call]
            discriminator_losses.append(losses)
        self.optimizers["discriminator"].step()
        return {**mean_losses(generator_losses), **mean_losses(discriminator_losses)}

    def generator_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted scalar losses of the generator (and encoder) by name."""
        label_map = batch.label_map()
        noise = batch.noise[0] if batch.noise is not None else None
        z, mu, logvar = self.encode(batch, noise, wrapped=True)
        fake = self.wrapped("generator")(label_map, z)
        losses: dict[str, Tensor] = {}
        discriminator = self.networks.discriminator
        if discriminator is not None:
            fake_features, real_features = self.judged(discriminator, label_map, fake, batch.images)
            losses["generator/adversarial"] = self.generator_loss([scale[-1] for scale in fake_features])
            if self.recipe.feature_matching_weight:
                matching = feature_matching_loss(fake_features, real_features)
                losses["generator/feature_matching"] = matching * self.recipe.feature_matching_weight
        if self.recipe.perceptual_weight and self.perceptual is not None:
            losses["generator/perceptual"] = self.perceptual(fake, batch.images) * self.recipe.perceptual_weight
        if mu is not None and logvar is not None and self.recipe.kl_weight:
            losses["generator/kl"] = kl_divergence(mu, logvar) * self.recipe.kl_weight
        return losses

    def judged(
        self, discriminator: nn.Module, label_map: LabelMap, fake: Tensor, real: Tensor
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """The discriminator's features of fake and real images for the generator's step, which updates it not."""
        with frozen(discriminator):
            of_fake = discriminator(Conditioned(label_map=label_map, images=fake))
        with torch.no_grad(), without_power_iteration(discriminator):
            of_real = discriminator(Conditioned(label_map=label_map, images=real))
        return of_fake, of_real

    def discriminator_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar losses of the discriminator by name."""
        label_map = batch.label_map()
        noise = batch.noise[1] if batch.noise is not None else None
        with torch.no_grad():
            z, _, _ = self.encode(batch, noise, wrapped=False)
            fake = self.networks.generator(label_map, z)
        images = torch.cat([fake, batch.images.to(fake.dtype)])
        both = self.wrapped("discriminator")(Conditioned(label_map=label_map, images=images))
        fake_features, real_features = halves(both)
        fake_loss, real_loss = self.discriminator_loss(
            [scale[-1] for scale in fake_features], [scale[-1] for scale in real_features]
        )
        return {"discriminator/fake": fake_loss, "discriminator/real": real_loss}


def halves(features: list[list[Tensor]]) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """Discriminator features of a concatenated batch, split into those of the fakes and those of the reals."""
    fake = [[layer.chunk(2)[0] for layer in scale] for scale in features]
    real = [[layer.chunk(2)[1] for layer in scale] for scale in features]
    return fake, real
