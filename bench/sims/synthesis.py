"""The synthesis stage: train the network on simulated canvases, and make an image of every canvas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from baselines.sims.losses import synthesis_losses
from baselines.sims.networks import SynthesisNetwork, initialize
from baselines.sims.segments import find_segments
from baselines.sims.settings import SynthesisSettings
from baselines.sims.simulate import simulated_canvas
from bench.atomic import written_beside
from bench.sims.alike import finder
from bench.sims.bank import Bank, open_bank
from bench.sims.composing import read_canvas, read_canvases
from bench.sims.learning import Learning, device_of, learn, load_network
from bench.sims.perceptual import SUBSTITUTE, build_perceptual
from bench.sims.retrieval import class_map
from bench.sims.stage import Progress, Record, Stage, read_record, run_stage
from bench.sims.workspace import Choice, Workspace

NETWORK_FOLDER = "synthesis-network"
_STREAM = 0x5717


def network_input(
    of_map: NDArray[Any], canvas: NDArray[np.uint8], mask: NDArray[np.bool_], classes: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """One-hot labels (1, K, H, W), canvas (1, 3, H, W) in [-1, 1] and 0 where empty, and its mask (1, 1, H, W)."""
    ids = torch.from_numpy(of_map.astype(np.int64)).to(device)[None]
    labels = F.one_hot(ids, classes).permute(0, 3, 1, 2).float()
    shown = torch.from_numpy(mask).to(device).float()[None, None]
    return labels, as_image(canvas, device) * shown, shown


def as_image(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(H, W, 3), 0 to 255, to (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.array(pixels)).to(device).float().permute(2, 0, 1)[None] / 127.5 - 1


def training_example(
    workspace: Workspace, bank: Bank, index: int, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint8]]:
    """Class map, simulated canvas, its mask and the picture of the bank's picture ``index``."""
    image, of_map = bank.image(index), bank.class_map(index)
    segments = find_segments(of_map, workspace.rule)
    thin = workspace.classes.thin
    canvas = simulated_canvas(image, of_map, segments, finder(bank, index), rng, thin=thin)
    return of_map, canvas.image, canvas.mask, image


def train_synthesis(
    workspace: Workspace,
    learning: Learning,
    *,
    width: int = 64,
    perceptual: str = SUBSTITUTE,
    device: str = "auto",
    again: bool = False,
    progress: Progress = lambda *_: None,
) -> tuple[Record, bool]:
    """Train the synthesis network on the bank's pictures. Returns (record, whether it had to be trained)."""
    bank, bank_record = open_bank(workspace)
    settings = SynthesisSettings(classes=workspace.classes.count, width=width, size=workspace.size)
    where = device_of(device)
    stage = Stage(
        name="train-synthesis",
        folder=workspace.place(NETWORK_FOLDER),
        settings={"network": asdict(settings), "perceptual": perceptual, **asdict(learning)},
        inputs={"bank": bank_record.content},
        growing=("steps",),
    )

    def work() -> Mapping[str, Any]:
        compared = build_perceptual(perceptual, where, height=workspace.size[0])
        network = SynthesisNetwork(settings)
        initialize(network, learning.seed)

        def losses(step: int) -> dict[str, Tensor]:
            rng = np.random.default_rng((_STREAM, learning.seed, step))
            of_map, canvas, mask, real = training_example(workspace, bank, int(rng.integers(len(bank.ids))), rng)
            fed = network_input(of_map, canvas, mask, settings.classes, where)
            image, logits = network(*fed)
            ids = torch.from_numpy(of_map.astype(np.int64)).to(where)[None]
            return synthesis_losses(image, logits, as_image(real, where), ids, compared)

        identity = stage.identity(leave_out=("steps",))
        means = learn(stage.folder, network, losses, learning, identity=identity, device=where, progress=progress)
        parameters = sum(p.numel() for p in network.parameters())
        return {"parameters": parameters, "perceptual_features": compared.name, **means}

    return run_stage(stage, work, again=again)


def synthesize(
    workspace: Workspace,
    choice: Choice,
    *,
    device: str = "auto",
    again: bool = False,
    progress: Progress = lambda *_: None,
) -> tuple[Record, bool]:
    """An image <sample id>.png of every canvas, for ``evaluate --images``. Returns (record, whether it was made)."""
    canvases = read_canvases(workspace, choice)
    trained = read_record(workspace.place(NETWORK_FOLDER), "train-synthesis")
    chosen = trained.settings["network"]
    network = SynthesisNetwork(SynthesisSettings(**{**chosen, "size": tuple(chosen["size"])}))
    where = device_of(device)
    stage = Stage(
        name="synthesize",
        folder=workspace.place("images", choice.name),
        settings={},
        inputs={"canvases": canvases.content, "network": trained.content},
    )

    @torch.no_grad()
    def work() -> Mapping[str, Any]:
        load_network(trained.folder, network).to(where)
        dataset = workspace.open(choice.split)
        count = workspace.count(dataset)
        for index in range(count):
            path = stage.folder / f"{dataset.sample_id(index)}.png"
            if not path.is_file():
                of_map = class_map(workspace, dataset, index)
                canvas, mask = read_canvas(canvases.folder, dataset, index)
                image, _ = network(*network_input(of_map, canvas, mask, workspace.classes.count, where))
                pixels = ((image[0].permute(1, 2, 0).float().cpu().numpy() + 1) * 127.5).clip(0, 255).astype(np.uint8)
                with written_beside(path, durable=False) as temporary:
                    Image.fromarray(pixels).save(temporary, format="PNG")
            progress(index + 1, count, f"{index + 1:,} of {count:,} images")
        return {"images": count}

    return run_stage(stage, work, again=again)
