"""A trained generator and, where it has one, its image encoder: label maps in, images out, at one size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.registry import get_variant
from bench.data.entry import DatasetEntry
from bench.data.fitting import fitted
from bench.data.registry import dataset_spec
from bench.evaluation.generate import CHUNK_IMAGES, exact_float32, truncated
from bench.evaluation.judges.checkpoint import read_tensors_only
from bench.evaluation.weights import file_sha256
from bench.launching.judging import label_convention
from bench.plain import content_hash, to_plain
from bench.run_spec import RunSpec
from bench.store import RunFolder, Store
from bench.training.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint
from bench.training.trainer import best_step
from spade_core.labels import LabelMap
from spade_core.released import load_released_state_dict
from spade_core.settings import EncoderSettings


@dataclass(frozen=True, kw_only=True)
class Style:
    """What the image encoder makes of an image: a normal distribution of z (paper, figure 14)."""

    mean: NDArray[np.float32]
    """(z_dim,)"""
    deviation: NDArray[np.float32]
    """(z_dim,), positive."""


@dataclass(frozen=True, kw_only=True)
class Synthesizer:
    """A generator in eval mode on its device, for label maps of one data set at one size."""

    name: str
    """What it is, for people."""
    stem: str
    """What folders of its outputs are called."""
    entry: DatasetEntry
    size: tuple[int, int]
    """Height and width in pixels of label maps and images."""
    generator: nn.Module
    encoder: nn.Module | None
    z_dim: int | None
    """Length of z; None for a generator that takes none: it makes one image of a label map."""
    of_label: NDArray[np.int64]
    """By label id of the data set: the id that the generator wants."""
    device: torch.device
    details: Mapping[str, Any] = field(default_factory=dict)
    """Where the weights come from, as plain values."""

    @property
    def identity(self) -> str:
        """Hash of all that decides an image besides label map and z."""
        return content_hash([dict(self.details), self.of_label.tolist(), self.size])

    @torch.no_grad()
    def render(
        self,
        labels: NDArray[np.integer],
        instances: NDArray[np.integer] | None = None,
        z: NDArray[np.float32] | None = None,
    ) -> NDArray[np.uint8]:
        """Images (N, H, W, 3) uint8 of one label map (H, W) for ``z`` (N, z_dim); N is 1 where the model takes no z.

        Without ``instances`` (H, W) they end where labels do. Running statistics, float32, truncated, as `evaluate`.
        """
        if (z is None) != (self.z_dim is None):
            raise ValueError(f"{self.name}: takes {'no z' if self.z_dim is None else 'z, which was not given'}")
        wanted = torch.from_numpy(self.of_label[labels.astype(np.int64)])[None]
        # Edges are where 4-neighbours differ: for connected regions of one label, where the labels do.
        drawn = labels if instances is None else instances
        edges = torch.from_numpy(drawn.astype(np.int64))[None] if self.entry.spec.instance_edges else None
        parts: list[Tensor | None] = [None] if z is None else [*torch.split(torch.from_numpy(z), CHUNK_IMAGES)]
        images = []
        with exact_float32():
            for part in parts:
                count = 1 if part is None else len(part)
                ids = wanted.expand(count, -1, -1).to(self.device)
                ends = None if edges is None else edges.expand(count, -1, -1).to(self.device)
                given = None if part is None else part.to(self.device)
                images.append(truncated(self.generator(LabelMap(ids, ends, self.entry.spec), given)))
        return np.concatenate(images)

    @torch.no_grad()
    def style_of(self, image: NDArray[np.uint8]) -> Style:
        """The style of an image (H, W, 3) uint8 as `inputs.style_pixels` makes it. ValueError without an encoder."""
        if self.encoder is None:
            raise ValueError(f"{self.name}: {NO_ENCODER}")
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
        with exact_float32():
            mean, logvar = self.encoder(torch.from_numpy(planes).to(self.device) / 127.5 - 1.0)
        deviation = torch.exp(0.5 * logvar)
        return Style(mean=mean[0].float().cpu().numpy(), deviation=deviation[0].float().cpu().numpy())


NO_ENCODER = (
    "it has no image encoder, so it cannot take the style of an image; train one with --switch vae (or spade-vae), "
    "or give a released file with --encoder latest_net_E.pth"
)


def synthesizer_of_run(
    store: Store, name: str, *, device: torch.device, step: int | None, weights: str, size: tuple[int, int] | None
) -> Synthesizer:
    """The model of a run of the store: its selected checkpoint, or the one of ``step``; an unfinished run's newest.

    Raises ValueError naming the run where it has no such checkpoint or average, or cannot be built at ``size``.
    """
    if weights not in ("raw", "ema"):
        raise ValueError(f"--weights is {weights!r}; allowed are raw and ema")
    folder = store.find_run(name)
    run = folder.spec()
    entry = dataset_spec(run.dataset.name)
    taken, note = _step_of(folder, run, step)
    path = checkpoint_path(folder.checkpoints, taken)
    state = load_checkpoint(path)
    networks = state["networks"]
    generator_state = networks["generator"] if weights == "raw" else state["average"]
    if generator_state is None:
        raise ValueError(f"{path}: holds no moving average; take the raw weights instead (--weights raw)")
    chosen = size or run.dataset.size
    generator = _built(run.generator, entry, chosen, run.dataset.size, run.name)
    generator.load_state_dict(generator_state)
    encoder = None
    if run.recipe.encoder is not None:
        encoder = run.recipe.encoder.build()
        encoder.load_state_dict(networks["encoder"])
    return Synthesizer(
        name=f"run {run.name}, step {taken}{note}",
        stem=run.name,
        entry=entry,
        size=chosen,
        generator=generator.to(device).eval(),
        encoder=encoder.to(device).eval() if encoder is not None else None,
        z_dim=_z_dim(run.generator),
        of_label=np.arange(entry.spec.ids, dtype=np.int64),
        device=device,
        details={
            "run": run.name,
            "run_id": run.run_id,
            "step": taken,
            "weights": weights,
            "checkpoint_sha256": state.get("sha256", ""),
            "variant": run.variant,
            "dataset": entry.name,
        },
    )


def synthesizer_of_checkpoint(
    path: Path,
    variant: str,
    dataset: str,
    *,
    encoder: Path | None,
    device: torch.device,
    size: tuple[int, int] | None,
    width: int | None,
    convention: str | None,
) -> Synthesizer:
    """The model of released files: ``latest_net_G.pth``, and ``latest_net_E.pth`` for style images.

    ``width`` (of both networks) where it is not the variant's; ``convention`` as `show dataset` lists them. Raises
    ValueError where a file is missing or is not of that architecture.
    """
    for file, option in ((path, "--checkpoint"), (encoder, "--encoder")):
        if file is not None and not file.is_file():
            raise ValueError(f"{option} {file}: there is no such file")
    entry = dataset_spec(dataset)
    ids = label_convention(entry, convention)
    architecture = fitted(get_variant(variant), entry.upsampling)
    architecture = architecture.scaled(width=width) if width is not None else architecture
    z_dim = _z_dim(architecture.generator)
    if encoder is not None and z_dim is None:
        raise ValueError(
            f"--encoder {encoder}: {architecture.name} starts from the label map and takes no z; "
            f"give --variant spade-vae for files that were trained with use_vae"
        )
    chosen = size or entry.size_px
    generator = _built(architecture.generator, entry, chosen, chosen, architecture.name)
    _load_released(generator, path, f"a released generator of {architecture.name} for {entry.name} at {_px(chosen)}")
    network = None
    if encoder is not None and z_dim is not None:
        network = EncoderSettings(width=width or EncoderSettings().width, z_dim=z_dim).build()
        _load_released(network, encoder, "a released image encoder")
    return Synthesizer(
        name=f"{path} as {architecture.name}",
        stem=f"{path.parent.name or 'checkpoint'}-{path.stem}",
        entry=entry,
        size=chosen,
        generator=generator.to(device).eval(),
        encoder=network.to(device).eval() if network is not None else None,
        z_dim=z_dim,
        of_label=np.asarray(ids.of_label, dtype=np.int64),
        device=device,
        details={
            "checkpoint": path.name,
            "checkpoint_sha256": file_sha256(path),
            "encoder_sha256": file_sha256(encoder) if encoder is not None else "",
            "variant": architecture.name,
            "generator": to_plain(architecture.generator),
            "convention": ids.name,
            "dataset": entry.name,
        },
    )


def _step_of(folder: RunFolder, run: RunSpec, step: int | None) -> tuple[int, str]:
    """(step, what to say of it) of the checkpoint that is taken."""
    steps = checkpoint_steps(folder.checkpoints)
    if not steps:
        raise ValueError(f"run {folder.name} has no checkpoint; train it first")
    if step is not None:
        if step not in steps:
            raise ValueError(f"run {folder.name} has no checkpoint of step {step}; it has: {steps}")
        return step, ""
    if run.training.selection == "best" and (best := best_step(folder)) is not None:
        return best[0], ", the best during training"
    done = folder.status().state == "done"
    return steps[-1], "" if done else f" of {run.training.steps}, the newest of an unfinished run"


def _built(settings: Any, entry: DatasetEntry, size: tuple[int, int], trained: tuple[int, int], name: str) -> nn.Module:
    """The generator of ``settings`` at ``size``; one that starts from z has the size that it was ``trained`` at."""
    if _z_dim(settings) is not None and size != trained:
        raise ValueError(
            f"--size {size[0]}x{size[1]}: {name} starts from z, so it has one size, {_px(trained)} (height x width); "
            f"leave --size out, or take a variant that starts from the label map"
        )
    generator: nn.Module = settings.build(entry.spec, size)
    return generator


def _load_released(network: nn.Module, path: Path, what: str) -> None:
    state = read_tensors_only(path)
    try:
        load_released_state_dict(network, state)
    except Exception as error:  # whatever a foreign file makes of it, the reader is told which file
        raise ValueError(f"{path}: cannot be read as {what}: {error}") from error


def _z_dim(generator: Any) -> int | None:
    return int(generator.z_dim) if getattr(generator, "source", "segmap") == "z" else None


def _px(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
