"""Train the judge of the embedded world: ``python -m bench.evaluation.judges.train_synthetic``.

Real pairs of the train split at 64, 96 and 128 px, cross-entropy, bfloat16, some minutes on two free cores. Mild
noise, blur and colour changes keep it from collapsing on generated images; they are mild because texture has to
matter. Prints and records the scores on real validation scenes, which no step has seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save as save_tensors
from torch import Tensor

from bench.atomic import write_json, written_beside
from bench.data.registry import WORLD_VERSION
from bench.data.synthetic import SYNTHETIC_SPEC, SyntheticScenes
from bench.evaluation.judges.synthetic import WEIGHTS, SyntheticJudge, load_synthetic_judge

VALIDATION_IMAGES = 500
_BATCHES = ((64, 16), (64, 16), (96, 8), (64, 16), (64, 16), (128, 4))
"""(size in pixels, images) of successive batches."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and from which scenes the judge is trained."""

    steps: int = 1800
    seed: int = 1001
    """Seed of the training scenes, of the initial weights and of the disturbances."""
    peak_lr: float = 4e-3

    def __post_init__(self) -> None:
        if self.steps < 10 or self.seed < 0 or not 0 < self.peak_lr < 1:
            raise ValueError(
                f"Schedule(steps={self.steps}, seed={self.seed}, peak_lr={self.peak_lr}): at least 10 steps, a seed "
                "of 0 or more, a learning rate between 0 and 1"
            )


def to_tensors(scenes: SyntheticScenes, indices: range) -> tuple[Tensor, Tensor]:
    """Images (N, 3, H, W) in [-1, 1] and labels (N, H, W) int64."""
    samples = [scenes.load(index) for index in indices]
    images = torch.from_numpy(np.stack([sample.image for sample in samples])).permute(0, 3, 1, 2)
    labels = torch.from_numpy(np.stack([sample.labels for sample in samples]).astype(np.int64))
    return images.float() / 127.5 - 1.0, labels


def disturb(images: Tensor, generator: torch.Generator) -> Tensor:
    """Other exposure, blur and noise for some of the images: what a generator may do to a scene."""

    def draw(shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=generator)

    count = len(images)
    gain = 1.0 + (draw((count, 3, 1, 1)) - 0.5) * 0.3
    shift = (draw((count, 1, 1, 1)) - 0.5) * 0.15
    changed = torch.where(draw((count, 1, 1, 1)) < 0.6, images * gain + shift, images)
    blurred = F.avg_pool2d(F.pad(changed, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    weight = draw((count, 1, 1, 1)) * 0.7 * (draw((count, 1, 1, 1)) < 0.3)
    changed = changed + weight * (blurred - changed)
    sigma = draw((count, 1, 1, 1)) * 0.12 * (draw((count, 1, 1, 1)) < 0.4)
    changed = changed + sigma * torch.randn(images.shape, generator=generator)
    return changed.clamp(-1.0, 1.0)


def train(schedule: Schedule) -> SyntheticJudge:
    """A trained judge, in eval mode."""
    torch.manual_seed(schedule.seed)
    generator = torch.Generator().manual_seed(schedule.seed)
    judge = SyntheticJudge().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=schedule.peak_lr, weight_decay=1e-3)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.peak_lr, total_steps=schedule.steps, pct_start=0.15)
    weights = torch.ones(SYNTHETIC_SPEC.classes)
    weights[[2, 7, 11]] = 1.4  # sun, field, car: small or rare
    used, started = 0, time.monotonic()
    for step in range(schedule.steps):
        size, count = _BATCHES[step % len(_BATCHES)]
        scenes = SyntheticScenes(split="train", size=(size, size), images=used + count, seed=schedule.seed)
        images, labels = to_tensors(scenes, range(used, used + count))
        used += count
        disturbed = disturb(images, generator).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = judge(disturbed)
        loss = F.cross_entropy(logits.float(), labels, weight=weights)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        plan.step()
        if (step + 1) % 100 == 0:
            seconds = time.monotonic() - started
            print(f"step {step + 1:5d}  {used} scenes  loss {loss.item():.3f}  {seconds:.0f} s", flush=True)
    return judge.to(memory_format=torch.contiguous_format).eval()


@torch.no_grad()
def confusion(judge: SyntheticJudge, scenes: SyntheticScenes, batch: int = 25) -> NDArray[np.int64]:
    """Pixels by (true class, judged class), (K, K), over all scenes."""
    classes = SYNTHETIC_SPEC.classes
    counts = torch.zeros(classes * classes, dtype=torch.int64)
    for start in range(0, len(scenes), batch):
        images, labels = to_tensors(scenes, range(start, min(start + batch, len(scenes))))
        pairs = labels * classes + judge(images).argmax(1)
        counts += torch.bincount(pairs.flatten(), minlength=classes * classes)
    return counts.view(classes, classes).numpy()


def scores(counts: NDArray[np.int64]) -> dict[str, Any]:
    """Accuracy over pixels, IoU of each class and their mean, from 0 to 1, of a confusion matrix (K, K)."""
    hits = np.diag(counts).astype(np.float64)
    iou = hits / (counts.sum(0) + counts.sum(1) - hits)
    return {"accuracy": float(hits.sum() / counts.sum()), "miou": float(iou.mean()), "iou": [float(i) for i in iou]}


def save(judge: SyntheticJudge, path: Path) -> str:
    """Write the weights in float16; returns the file's sha256."""
    content = save_tensors(
        {
            key: value.half().contiguous() if value.is_floating_point() else value
            for key, value in judge.state_dict().items()
        }
    )
    with written_beside(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def main(arguments: list[str] | None = None) -> None:
    """Train, save, load what was saved, score it, and write its card."""
    parser = argparse.ArgumentParser(prog="python -m bench.evaluation.judges.train_synthetic", description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="weights file (default: the shipped one)")
    parser.add_argument("--steps", type=int, default=Schedule.steps)
    parser.add_argument("--seed", type=int, default=Schedule.seed)
    options = parser.parse_args(arguments)
    schedule = Schedule(steps=options.steps, seed=options.seed)
    started = time.monotonic()
    judge = train(schedule)
    seconds = time.monotonic() - started
    card: dict[str, Any] = {"sha256": save(judge, options.out), "world_version": WORLD_VERSION}
    write_json(options.out.with_suffix(".json"), card)  # what the loader checks
    saved = load_synthetic_judge(options.out)
    card["parameters"] = sum(parameter.numel() for parameter in saved.parameters())
    card["validation"] = {}
    for size in (64, 128):
        scenes = SyntheticScenes(split="val", size=(size, size), images=VALIDATION_IMAGES)
        result = scores(confusion(saved, scenes))
        named = {name: round(value, 4) for name, value in zip(scenes.class_names, result["iou"], strict=True)}
        card["validation"][f"{size}px"] = {
            "images": len(scenes),
            "seed": scenes.seed,
            "miou": result["miou"],
            "accuracy": result["accuracy"],
            "iou": named,
        }
        print(f"{size} px: mIoU {result['miou']:.4f}, accuracy {result['accuracy']:.4f} on {len(scenes)} real scenes")
        print("  " + ", ".join(f"{name} {value:.2f}" for name, value in named.items()))
    card["training"] = {
        "command": f"python -m bench.evaluation.judges.train_synthetic --steps {schedule.steps} --seed {schedule.seed}",
        "steps": schedule.steps,
        "seed": schedule.seed,
        "seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
    write_json(options.out.with_suffix(".json"), card)
    print(json.dumps({key: card[key] for key in ("sha256", "parameters", "training")}, indent=2))


if __name__ == "__main__":
    main()
