"""What every optimisation step has in common: networks, optimisers, gradient synchronisation, precision."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from baselines.batch import Batch
from baselines.recipe import Recipe
from spade_core.encoder import reparameterize
from spade_core.losses import (
    hinge_discriminator_loss,
    hinge_generator_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The networks of a run, on their device."""

    generator: nn.Module
    discriminator: nn.Module | None
    encoder: nn.Module | None

    def named(self) -> dict[str, nn.Module]:
        """The networks there are, by role."""
        roles = {"generator": self.generator, "discriminator": self.discriminator, "encoder": self.encoder}
        return {role: network for role, network in roles.items() if network is not None}


class TrainingStep(ABC):
    """One update of every network from one global batch. A recipe's step says how, in ``__call__``."""

    def __init__(self, recipe: Recipe, networks: Networks, perceptual: nn.Module | None) -> None:
        self.recipe = recipe
        self.networks = networks
        self.perceptual = perceptual
        self.autocast: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
        """Entered around every forward pass; the trainer sets it for bf16."""
        self.epoch = 1
        """The epoch, from 1, that the next update belongs to; the trainer sets it."""
        self._wrapped: dict[str, nn.Module] = dict(networks.named())
        betas = (recipe.beta1, recipe.beta2)
        drawn = [networks.generator, *([networks.encoder] if networks.encoder is not None else [])]
        self.optimizers: dict[str, torch.optim.Adam] = {
            "generator": torch.optim.Adam(
                [parameter for network in drawn for parameter in network.parameters()],
                lr=recipe.learning_rate_generator,
                betas=betas,
                fused=True,
            )
        }
        if networks.discriminator is not None:
            self.optimizers["discriminator"] = torch.optim.Adam(
                networks.discriminator.parameters(), lr=recipe.learning_rate_discriminator, betas=betas, fused=True
            )
        if recipe.adversarial == "hinge":
            self.discriminator_loss, self.generator_loss = hinge_discriminator_loss, hinge_generator_loss
        else:
            self.discriminator_loss, self.generator_loss = (
                least_squares_discriminator_loss,
                least_squares_generator_loss,
            )

    @abstractmethod
    def __call__(self, parts: Sequence[Batch]) -> dict[str, Tensor]:
        """Update every network once; ``parts`` are this rank's share of the global batch, split by accumulation.

        Returns the weighted losses by name, detached, averaged over the parts.
        """

    def distribute(self, wrap: Callable[[nn.Module], nn.Module]) -> None:
        """Run the passes that need gradients through ``wrap(network)``, such as DistributedDataParallel."""
        self._wrapped = {role: wrap(network) for role, network in self.networks.named().items()}

    def state_dict(self) -> dict[str, Any]:
        """What the step itself has to go on from, beside networks and optimisers; equal on every rank."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned. A ValueError for a state that this kind of step has not."""
        if state:
            raise ValueError(f"{type(self).__name__} has no state of its own, and was given: {', '.join(state)}")

    def wrapped(self, role: str) -> nn.Module:
        """The network of ``role`` as its gradients are synchronised."""
        return self._wrapped[role]

    @contextlib.contextmanager
    def synchronised(self, roles: Sequence[str], last: bool) -> Iterator[None]:
        """Gradients of ``roles`` are averaged over the ranks in the last part only; before, they add up locally."""
        with contextlib.ExitStack() as stack:
            for role in roles:
                module = self._wrapped.get(role)
                if not last and isinstance(module, DistributedDataParallel):
                    stack.enter_context(module.no_sync())
            yield

    def encode(
        self, batch: Batch, noise: Tensor | None, *, wrapped: bool
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """z (N, Z) for the generator with mu and log-variance of the encoder, or z = noise without an encoder."""
        encoder = self.networks.encoder
        if encoder is None:
            return noise, None, None
        assert noise is not None, "an image encoder needs noise for its reparameterisation"
        mu, logvar = (self.wrapped("encoder") if wrapped else encoder)(batch.images)
        return reparameterize(mu, logvar, noise), mu, logvar


def mean_losses(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Each loss averaged over the accumulation parts, detached."""
    return {name: torch.stack([part[name].detach() for part in parts]).mean() for name in parts[0]}


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """``network`` with gradients switched off for its parameters (they still flow through it to its input)."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield network
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextlib.contextmanager
def without_power_iteration(network: nn.Module) -> Iterator[nn.Module]:
    """``network`` (in training mode, without batch norms) with the weights of its last forward: no power iteration."""
    network.eval()
    try:
        yield network
    finally:
        network.train()
