"""Training steps in the released order of operations: what ours are measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from baselines.batch import Batch
from baselines.recipe import Recipe, StepName
from baselines.steps import Networks, TrainingStep
from baselines.steps.pix2pixhd import Pix2pixHDStep
from baselines.steps.shared import SharedStep, halves
from baselines.steps.step import frozen
from bench.benchmarks.reference import DenseGenerator
from spade_core.discriminators import Conditioned
from spade_core.labels import LabelMap
from spade_core.plain import plain_formulation


class ReferenceGenerator(DenseGenerator):
    """The reference as a step calls its generator."""

    def forward(self, label_map: LabelMap, z: Tensor | None = None) -> Tensor:
        """Images (N, 3, H, W); ``z`` is not for this generator."""
        assert z is None
        return super().forward(label_map)


class ReferenceSharedStep(SharedStep):
    """Everything at every pixel; fake and real pass the discriminator joined in both halves; Adam as torch has it."""

    def __init__(self, recipe: Recipe, networks: Networks, perceptual: nn.Module | None) -> None:
        super().__init__(recipe, networks, perceptual)
        self.optimizers = _plain_adam(self.optimizers)

    def __call__(self, parts: Sequence[Batch]) -> dict[str, Tensor]:
        with plain_formulation():
            return super().__call__(parts)

    def judged(
        self, discriminator: nn.Module, label_map: LabelMap, fake: Tensor, real: Tensor
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """The features of both in one pass, with gradients through both."""
        with frozen(discriminator):
            both = discriminator(Conditioned(label_map=label_map, images=torch.cat([fake, real.to(fake.dtype)])))
        return halves(both)


class ReferencePix2pixHDStep(Pix2pixHDStep):
    """pix2pixHD's step with everything at every pixel and Adam as torch has it."""

    def __init__(self, recipe: Recipe, networks: Networks, perceptual: nn.Module | None) -> None:
        super().__init__(recipe, networks, perceptual)
        self.optimizers = _plain_adam(self.optimizers)

    def __call__(self, parts: Sequence[Batch]) -> dict[str, Tensor]:
        with plain_formulation():
            return super().__call__(parts)


REFERENCE_STEPS: dict[StepName, Callable[[Recipe, Networks, nn.Module | None], TrainingStep]] = {
    "shared": ReferenceSharedStep,
    "pix2pixhd": ReferencePix2pixHDStep,
}


def _plain_adam(optimizers: dict[str, torch.optim.Adam]) -> dict[str, torch.optim.Adam]:
    return {
        role: torch.optim.Adam(
            [parameter for group in optimizer.param_groups for parameter in group["params"]],
            lr=optimizer.defaults["lr"],
            betas=optimizer.defaults["betas"],
        )
        for role, optimizer in optimizers.items()
    }
