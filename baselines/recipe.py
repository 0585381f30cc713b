"""How a variant is trained, as data. Free of torch.

Two recipes exist wherever the paper's text and its released code disagree: ``code`` is what made the published
weights, ``paper`` is what the text says. Each field names its source, and a test holds us to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args

from spade_core.settings import DiscriminatorSettings, EncoderSettings, Initialization

StepName = Literal["shared", "pix2pixhd", "crn"]
PerceptualNetwork = Literal["vgg19", "vgg19-caffe", "efficientnet-lite0"]
"""By the name of its weights file: torchvision's VGG19; Caffe's, for CRN; a small substitute for CRN's."""
Adversarial = Literal["hinge", "least_squares"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Epochs of a run on one data set, with the linear decay of the learning rates to 0 at the end."""

    epochs: int
    """Passes over the training split."""
    decay_from: int | None = None
    """Epoch after which the rates fall linearly; None keeps them constant."""

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"Schedule.epochs is {self.epochs}; it must be at least 1")
        if self.decay_from is not None and not 0 <= self.decay_from < self.epochs:
            raise ValueError(
                f"Schedule.decay_from is {self.decay_from}; it must lie in 0 .. {self.epochs - 1} "
                f"(epochs={self.epochs}), or be None for a constant rate"
            )

    def factor(self, epoch: int) -> float:
        """What the learning rates are multiplied with in ``epoch`` (1-based).

        As released: the rate falls by 1/(epochs - decay_from) after each epoch beyond ``decay_from``, so the last
        epoch of 100 + 100 still runs at 1 %.
        """
        if self.decay_from is None:
            return 1.0
        falls = max(0, min(epoch, self.epochs) - 1 - self.decay_from)
        return 1.0 - falls / (self.epochs - self.decay_from)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about training that changes the weights, except data, length, seed and hardware."""

    name: str = field(metadata={"semantic": False})
    """``code``, ``paper`` or a system's own name."""
    step: StepName = "shared"
    """Which optimisation step: the shared one (fake made anew for the discriminator), pix2pixHD's own, or CRN's."""
    learning_rate_generator: float = 1e-4
    learning_rate_discriminator: float = 4e-4
    beta1: float = 0.0
    beta2: float = 0.9
    adversarial: Adversarial = "hinge"
    feature_matching_weight: float = 10.0
    perceptual_weight: float = 10.0
    """Weight of the perceptual loss; 0 switches it off, and then no weights file is needed."""
    perceptual_network: PerceptualNetwork = field(default="vgg19", metadata={"semantic": "unless default"})
    """Whose features the perceptual loss compares."""
    balance_after_epochs: int | None = field(default=None, metadata={"semantic": "unless default"})
    """After so many epochs each term of the perceptual loss is divided by what it was on average in the last of them;
    None leaves the divisors as they are. CRN's step only."""
    kl_weight: float = 0.2
    """Weight of the KL divergence in its mean form; acts with an image encoder only."""
    discriminator: DiscriminatorSettings | None = DiscriminatorSettings()
    """None for systems that have no discriminator."""
    encoder: EncoderSettings | None = None
    """The image encoder that makes z from the real image; None without style guidance."""
    initialization: Initialization = "released"
    batch_images: int = field(default=32, metadata={"semantic": False})
    """Global batch over all ranks, where a study names no other."""
    schedules: Mapping[str, Schedule] = field(default_factory=dict, metadata={"semantic": False})
    """Length of training by data set name; a run that follows it has it in its identity."""
    sources: Mapping[str, str] = field(default_factory=dict, metadata={"semantic": False})
    """Where each field's value comes from."""

    def __post_init__(self) -> None:
        for name, allowed in (
            ("step", StepName),
            ("adversarial", Adversarial),
            ("initialization", Initialization),
            ("perceptual_network", PerceptualNetwork),
        ):
            if getattr(self, name) not in get_args(allowed):
                listed = ", ".join(map(repr, get_args(allowed)))
                raise ValueError(f"Recipe.{name} is {getattr(self, name)!r}; allowed are {listed}")
        for name in ("learning_rate_generator", "learning_rate_discriminator"):
            if getattr(self, name) <= 0:
                raise ValueError(f"Recipe.{name} is {getattr(self, name)}; a learning rate must be positive")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"Recipe.{name} is {getattr(self, name)}; Adam needs 0 <= beta < 1")
        for name in ("feature_matching_weight", "perceptual_weight", "kl_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"Recipe.{name} is {getattr(self, name)}; use 0 to switch a loss off")
        if self.batch_images < 1:
            raise ValueError(f"Recipe.batch_images is {self.batch_images}; it must be at least 1")
        if self.discriminator is None and self.feature_matching_weight:
            raise ValueError(
                f"Recipe {self.name!r} has no discriminator but feature_matching_weight="
                f"{self.feature_matching_weight}; feature matching compares discriminator features: set it to 0"
            )
        problems = _misfits(self)
        if problems:
            raise ValueError(f"Recipe {self.name!r}: " + "; ".join(problems))
        if self.step == "pix2pixhd" and (self.discriminator is None or self.encoder is not None):
            raise ValueError(
                f"Recipe {self.name!r}: step 'pix2pixhd' needs a discriminator and takes no image encoder; "
                f"use step 'shared'"
            )

    def explained(self) -> list[tuple[str, object, str]]:
        """Rows of (field, value, source), for ``show variant``."""
        shown = [item.name for item in fields(self) if item.name not in ("name", "sources", "schedules")]
        rows: list[tuple[str, object, str]] = [
            (name, getattr(self, name), self.sources.get(name, "")) for name in shown
        ]
        for dataset, schedule in self.schedules.items():
            rows.append((f"schedule[{dataset}]", schedule, self.sources.get("schedules", "")))
        return rows


def _misfits(recipe: Recipe) -> list[str]:
    """What does not go together in a recipe of CRN's step, or goes with no other."""
    problems = []
    if recipe.balance_after_epochs is not None and recipe.balance_after_epochs < 1:
        problems.append(f"balance_after_epochs is {recipe.balance_after_epochs}; it must be at least 1, or None")
    if recipe.step != "crn":
        if recipe.perceptual_network != "vgg19":
            problems.append(
                f"perceptual_network is {recipe.perceptual_network!r}; step {recipe.step!r} compares features of "
                f"'vgg19'"
            )
        if recipe.balance_after_epochs is not None:
            problems.append(f"balance_after_epochs is for step 'crn'; step {recipe.step!r} has fixed weights")
        return problems
    if recipe.perceptual_network == "vgg19":
        problems.append("step 'crn' compares features of 'vgg19-caffe' or 'efficientnet-lite0', not of 'vgg19'")
    if recipe.discriminator is not None or recipe.encoder is not None:
        problems.append("step 'crn' has neither a discriminator nor an image encoder; set both to None")
    return problems


_CODE = "released code (NVlabs/SPADE)"
_SCHEDULES = {
    "coco_stuff": Schedule(epochs=100),
    "ade20k": Schedule(epochs=200, decay_from=100),
    "ade20k_outdoor": Schedule(epochs=200, decay_from=100),
    "cityscapes": Schedule(epochs=200, decay_from=100),
    "flickr_landscapes": Schedule(epochs=50),
}

CODE = Recipe(
    name="code",
    schedules=_SCHEDULES,
    sources={
        "step": f"{_CODE}: one generator step, then one discriminator step on a newly generated fake",
        "learning_rate_generator": f"paper section 4 and {_CODE}: 2e-4 / 2 (TTUR)",
        "learning_rate_discriminator": f"paper section 4 and {_CODE}: 2e-4 * 2 (TTUR)",
        "beta1": f"paper section 4 and {_CODE}",
        "beta2": f"{_CODE}: 0.9; the authors in NVlabs/SPADE#50: 'the paper is wrong'",
        "adversarial": f"paper section 4 and {_CODE}: hinge, averaged over the discriminators",
        "feature_matching_weight": f"paper appendix (as pix2pixHD) and {_CODE}",
        "perceptual_weight": f"paper appendix (as pix2pixHD) and {_CODE}",
        "perceptual_network": f"{_CODE}: torchvision's VGG19",
        "balance_after_epochs": "not used here: the weights of the layers are fixed",
        "kl_weight": "paper appendix: 0.05 per image of a GPU; 4 images on each of 8 GPUs make 0.2 in the mean form",
        "discriminator": f"{_CODE} since 2019-05-21: 2 scales, 4 layers",
        "encoder": "paper section 3: only for style-guided synthesis",
        "initialization": f"{_CODE} as it acts on a GPU: Glorot (gain 0.02) except on spectral-normed weights",
        "batch_images": "paper section 4: 32 on 8 GPUs",
        "schedules": "paper section 4: epochs and decay; constant where the text is silent",
    },
)

PAPER = replace(
    CODE,
    name="paper",
    beta2=0.999,
    initialization="glorot",
    sources={
        **CODE.sources,
        "beta2": "paper section 4 (both arXiv versions)",
        "initialization": "paper section 4: Glorot on every layer; gain 0.02 from the released code",
    },
)

_NVIDIA = "released code (NVIDIA/pix2pixHD)"
PIX2PIXHD = Recipe(
    name="pix2pixhd",
    step="pix2pixhd",
    learning_rate_generator=2e-4,
    learning_rate_discriminator=2e-4,
    beta1=0.5,
    beta2=0.999,
    adversarial="least_squares",
    feature_matching_weight=10.0,
    perceptual_weight=10.0,
    kl_weight=0.0,
    discriminator=DiscriminatorSettings(spectral_norm=False),
    initialization="pix2pixhd",
    batch_images=32,
    schedules=_SCHEDULES,
    sources={
        "step": f"{_NVIDIA}: one fake for both losses, three discriminator passes, gradients before either update",
        "learning_rate_generator": _NVIDIA,
        "learning_rate_discriminator": _NVIDIA,
        "beta1": _NVIDIA,
        "beta2": _NVIDIA,
        "adversarial": f"{_NVIDIA}: least squares, summed over the discriminators, 0.5 * (fake + real)",
        "feature_matching_weight": _NVIDIA,
        "perceptual_weight": _NVIDIA,
        "perceptual_network": f"{_NVIDIA}: torchvision's VGG19",
        "balance_after_epochs": "not used here: the weights of the layers are fixed",
        "kl_weight": "no image encoder in this system",
        "discriminator": f"{_NVIDIA}: 2 scales, n_layers_D 3 (the same five convolutions), no spectral norm",
        "encoder": "not used here (pix2pixHD's instance features are another input)",
        "initialization": f"{_NVIDIA}: N(0, 0.02)",
        "batch_images": "our choice: the batch of the SPADE paper, so that rows see equally many images per step "
        "(pix2pixHD's default is 1)",
        "schedules": "our choice: the SPADE paper's epochs",
    },
)

_CQFIO = "released code (CQFIO/PhotographicImageSynthesis)"
CRN = Recipe(
    name="crn",
    step="crn",
    learning_rate_generator=1e-4,
    beta1=0.9,
    beta2=0.999,
    feature_matching_weight=0.0,
    perceptual_weight=1.0,
    perceptual_network="vgg19-caffe",
    balance_after_epochs=100,
    kl_weight=0.0,
    discriminator=None,
    initialization="crn",
    batch_images=1,
    schedules={
        "coco_stuff": Schedule(epochs=100),
        "ade20k": Schedule(epochs=200),
        "ade20k_outdoor": Schedule(epochs=200),
        "cityscapes": Schedule(epochs=200),
        "flickr_landscapes": Schedule(epochs=50),
    },
    sources={
        "step": f"Chen and Koltun, section 3, and {_CQFIO}: regression on features, for each class by the best of the "
        "images of a pass",
        "learning_rate_generator": _CQFIO,
        "learning_rate_discriminator": "no discriminator in this system",
        "beta1": f"{_CQFIO}: TensorFlow's default",
        "beta2": f"{_CQFIO}: TensorFlow's default",
        "adversarial": "no discriminator in this system",
        "feature_matching_weight": "no discriminator in this system",
        "perceptual_weight": f"{_CQFIO}: the distance at the image and those of the features count alike",
        "perceptual_network": f"{_CQFIO}: imagenet-vgg-verydeep-19 of MatConvNet (from Caffe), average pooling",
        "balance_after_epochs": "Chen and Koltun, section 3: rescaled after 100 epochs; the released code has the "
        "authors' own result as constants, with which we begin",
        "kl_weight": "no image encoder in this system",
        "discriminator": "none in this system",
        "encoder": "none in this system",
        "initialization": f"{_CQFIO}: TensorFlow-Slim's default, Glorot (uniform, gain 1)",
        "batch_images": f"Chen and Koltun and {_CQFIO}: 1",
        "schedules": f"{_CQFIO}: 200 epochs at 256 px (Cityscapes), at a constant rate; our choice elsewhere: the "
        "SPADE paper's epochs, at a constant rate",
    },
)

CRN_SUBSTITUTE = replace(
    CRN,
    name="crn-lite0",
    perceptual_network="efficientnet-lite0",
    sources={
        **CRN.sources,
        "perceptual_network": "our substitute, where imagenet-vgg-verydeep-19.mat is not at hand",
    },
)
