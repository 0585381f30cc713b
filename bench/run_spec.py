"""One training run as data, and its identity. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from baselines.recipe import Recipe, Schedule
from baselines.registry import get_variant
from baselines.variant import GeneratorSettings
from bench.data.dataset import AugmentationRule
from bench.plain import content_hash, from_plain, to_plain

Precision = Literal["float32", "bf16"]
Selection = Literal["last", "best"]


@dataclass(frozen=True, kw_only=True)
class DatasetRef:
    """Which data: a name, the size it is read at, how much of it, and the hash of its content."""

    name: str
    """A registered data set."""
    size: tuple[int, int]
    """(height, width) of the images in px, after preprocessing."""
    augmentation: AugmentationRule = AugmentationRule()
    """What training may do to a pair."""
    manifest: str
    """Hash of the training split's content; independent of where the files lie."""
    val_manifest: str = field(default="", metadata={"semantic": False})
    """Hash of the validation split's content; part of an evaluation, not of a run."""
    upsampling: str = field(default="normal", metadata={"semantic": False})
    """The released options' upsampling for the data set; generators that have the setting are fitted to it."""
    train_images: int | None = None
    """Use the first so many images of the training split; None: all of them."""
    val_images: int | None = field(default=None, metadata={"semantic": False})
    """Judge on the first so many images of the validation split; None: all. Part of an evaluation, not of a run."""
    root: str | None = field(default=None, metadata={"semantic": False})
    """Folder of the files; not part of the identity."""

    def __post_init__(self) -> None:
        height, width = self.size
        if height < 8 or width < 8:
            raise ValueError(f"data set {self.name!r}: size {height}x{width} px; both sides must be at least 8")
        for name in ("train_images", "val_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"data set {self.name!r}: {name} is {value}; it must be at least 1, or None for all")


@dataclass(frozen=True, kw_only=True)
class Training:
    """Length, batch and numerics of a run, and what it writes on its way."""

    steps: int
    """Optimisation steps in all."""
    batch_images: int
    """Global batch: images per step over all ranks and accumulation parts."""
    accumulate: int = 1
    """Parts that each rank's share of the batch is split into, to save memory."""
    norm_group_images: int | None = None
    """Images that share batch statistics; None where the variant has no batch norm."""
    precision: Precision = "float32"
    tf32: bool = False
    """Whether float32 products may use TensorFloat-32 on GPUs that have it."""
    decay: bool = False
    """Whether the recipe's schedule for the data set scales the learning rates by epoch."""
    ema_halflife_images: int | None = None
    """Half-life of the moving average of the generator's weights, in images; None: no average is kept."""
    selection: Selection = "last"
    """Which checkpoint is reported: the last, or the one with the best score during training (marked as such)."""
    eval_every_steps: int | None = field(default=None, metadata={"semantic": False})
    """Score the generator during training every so many steps; needed by ``selection="best"``."""
    save_every_steps: int = field(default=1000, metadata={"semantic": False})
    sample_every_steps: int = field(default=1000, metadata={"semantic": False})
    log_every_steps: int = field(default=50, metadata={"semantic": False})
    keep_checkpoints: int = field(default=2, metadata={"semantic": False})
    """How many of the newest full-state checkpoints stay on disk."""
    loader_workers: int = field(default=0, metadata={"semantic": False})

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_images",
            "accumulate",
            "save_every_steps",
            "sample_every_steps",
            "log_every_steps",
            "keep_checkpoints",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"Training.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("norm_group_images", "ema_halflife_images", "eval_every_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"Training.{name} is {value}; it must be at least 1, or None to go without")
        if self.loader_workers < 0:
            raise ValueError(f"Training.loader_workers is {self.loader_workers}; it must be at least 0")
        if self.precision not in ("float32", "bf16"):
            raise ValueError(f"Training.precision is {self.precision!r}; allowed are 'float32' and 'bf16'")
        if self.batch_images % self.accumulate:
            raise ValueError(
                f"Training.accumulate={self.accumulate} does not divide batch_images={self.batch_images}; "
                f"choose a divisor"
            )
        if self.selection == "best" and not self.eval_every_steps:
            raise ValueError("Training.selection='best' needs eval_every_steps: there is no score to select by")
        if self.selection not in ("last", "best"):
            raise ValueError(f"Training.selection is {self.selection!r}; allowed are 'last' and 'best'")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """All that decides the weights of one run (and a few things that do not, marked so in their fields)."""

    variant: str
    generator: GeneratorSettings
    recipe: Recipe
    dataset: DatasetRef
    training: Training
    seed: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"run of {self.variant}: seed is {self.seed}; it must be at least 0")
        encoder = self.recipe.encoder
        if encoder is not None:
            source = getattr(self.generator, "source", "segmap")
            z_dim = getattr(self.generator, "z_dim", None)
            if source != "z" or z_dim != encoder.z_dim:
                raise ValueError(
                    f"run of {self.variant}: its recipe has an image encoder of z_dim {encoder.z_dim}, its generator "
                    f"starts from {source!r} with z_dim {z_dim}; it must start from 'z' of the same length"
                )

    @cached_property
    def run_id(self) -> str:
        """12 hexadecimal digits: equal for equal training of one variant, in whatever study it occurs.

        Paths, workers, logging, number of ranks and the validation split are not part of it.
        """
        return content_hash(self._identity())[:12]

    @cached_property
    def name(self) -> str:
        """Folder name of the run: readable, and unique by its run_id."""
        height, width = self.dataset.size
        return f"{self.variant}-{self.dataset.name}-{height}x{width}-seed{self.seed}-{self.run_id}"

    @property
    def schedule(self) -> Schedule | None:
        """The recipe's schedule for the data set, where the run follows it."""
        return self.recipe.schedules.get(self.dataset.name) if self.training.decay else None

    def _identity(self) -> dict[str, Any]:
        shown = {
            name: getattr(self, name) for name in ("variant", "generator", "recipe", "dataset", "training", "seed")
        }
        scored = self.training.eval_every_steps if self.training.selection == "best" else None
        return {**shown, "schedule": self.schedule, "scored_every_steps": scored}

    def to_json(self) -> dict[str, Any]:
        """Plain values, with ``run_id`` added for the reader of the file."""
        names = ("variant", "generator", "recipe", "dataset", "training", "seed")
        return {"run_id": self.run_id, **{name: to_plain(getattr(self, name)) for name in names}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str = "run.json") -> RunSpec:
        """The inverse of :meth:`to_json`. Raises ValueError when the stored identity is not what the fields give."""
        settings = type(get_variant(data["variant"]).generator)
        spec = cls(
            variant=data["variant"],
            generator=from_plain(settings, data["generator"], f"{where}: generator"),
            recipe=from_plain(Recipe, data["recipe"], f"{where}: recipe"),
            dataset=from_plain(DatasetRef, data["dataset"], f"{where}: dataset"),
            training=from_plain(Training, data["training"], f"{where}: training"),
            seed=data["seed"],
        )
        if "run_id" in data and data["run_id"] != spec.run_id:
            raise ValueError(
                f"{where}: the stored run_id is {data['run_id']} but its fields give {spec.run_id}; the file was "
                f"edited, or the definition of a field has changed since the run was made"
            )
        return spec


def norm_group_images(norm: str, batch_images: int, accumulate: int, ranks: int) -> int | None:
    """Images that share batch statistics in one forward pass, or None without batch norm."""
    if norm == "sync_batch":
        return batch_images // accumulate
    if norm == "batch":
        return batch_images // accumulate // ranks
    return None
