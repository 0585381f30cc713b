"""The job that computes label maps for photographs, as the paper did for Flickr Landscapes: by DeepLabV2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bench.atomic import written_beside
from bench.data.dataset import DatasetError
from bench.data.files import made_folder
from bench.data.layouts.photographs import LABEL_MAPS, label_record, photographs, write_label_record
from bench.data.transforms import rows_first
from bench.evaluation.generate import exact_float32
from bench.evaluation.judges.registry import build_judge
from bench.evaluation.protocols import PAPER_COCO
from bench.evaluation.weights import require_weights
from bench.launching.claims import claimed_by_first
from bench.launching.progress import Progress, no_progress
from bench.training.distributed import Ranks, joined_ranks

LONG_SIDE_PX = 1024
"""Larger photographs are labelled at this long side and the labels enlarged by nearest: DeepLabV2 was trained on images
of about 640 px, and a photograph of 20 megapixels would need more memory than a GPU has."""


def label_photographs(
    root: Path, *, splits: Sequence[str] = ("train", "val"), device: str = "auto", progress: Progress = no_progress
) -> int:
    """Write the missing label maps (uint8 PNG, ids 0 to 181, the photograph's size); returns how many there were.

    Run it again to continue: a map appears whole or not at all. Under torchrun the ranks share the photographs.
    Raises DatasetError for unreadable photographs and for maps that another judge began, MissingWeightsError (what to
    do) where the judge's file is not there; ClaimedError while another process is at work here.
    """
    images: dict[str, Path] = {}
    for split in splits:
        found, problems = photographs(root, split)
        if problems:
            raise DatasetError("\n".join(problems))
        images |= found
    folder = made_folder(root, LABEL_MAPS)
    missing = [name for name in sorted(images) if not (folder / f"{name}.png").is_file()]
    if not missing:
        return 0
    for weights in PAPER_COCO.judge_weights:
        require_weights(weights)
    with joined_ranks(device) as ranks, claimed_by_first(folder, ranks):
        _label(root, folder, {name: images[name] for name in missing}, len(images), ranks, progress)
        ranks.barrier()
    return len(missing)


def _label(root: Path, folder: Path, images: dict[str, Path], total: int, ranks: Ranks, progress: Progress) -> None:
    judge = build_judge(PAPER_COCO, ranks.device)
    record = {"judge": judge.name, "sha256": judge.sha256, "protocol": PAPER_COCO.key, "long_side": str(LONG_SIDE_PX)}
    before = label_record(root)
    if ranks.first:
        if before and (before.get("judge"), before.get("sha256")) != (judge.name, judge.sha256):
            raise DatasetError(
                f"{folder}: its label maps were begun by {before.get('judge')} with weights "
                f"{before.get('sha256', '?')[:12]}, not by {judge.name} with {judge.sha256[:12]}; maps of two judges "
                f"make no data set: restore that weights file, or delete the folder to label all photographs anew"
            )
        write_label_record(root, before or record)
    ranks.barrier()
    problems = []
    names = list(images)
    done = total - len(names)
    for number, name in enumerate(names[ranks.rank :: ranks.world], start=1):
        try:
            photograph = _photograph(images[name])
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            problems.append(f"{images[name]}: cannot be read as an image ({error}); replace or remove it")
            continue
        with exact_float32():
            labels = judge.label(_within(photograph, LONG_SIDE_PX), _size(photograph, LONG_SIDE_PX))
        picture = Image.fromarray(labels.astype(np.uint8))
        if picture.size != photograph.size:
            picture = picture.resize(photograph.size, Image.Resampling.NEAREST)
        with written_beside(folder / f"{name}.png") as temporary:
            picture.save(temporary, format="PNG")
        if ranks.first:
            progress(min(total, done + number * ranks.world), total, "label maps")
    listed = [problem for part in ranks.gather(problems) for problem in part]
    if listed:
        raise DatasetError("\n".join(listed))


def _photograph(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        if ImageOps.exif_transpose(picture).size != picture.size:
            raise ValueError("its EXIF turns it, which label maps cannot follow: save it upright")
        return picture.convert("RGB")


def _size(photograph: Image.Image, long_side: int) -> tuple[int, int]:
    """(height, width) at which it is labelled."""
    width, height = photograph.size
    scale = min(1.0, long_side / max(width, height))
    return round(height * scale), round(width * scale)


def _within(photograph: Image.Image, long_side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    height, width = _size(photograph, long_side)
    if (width, height) != photograph.size:
        photograph = rows_first(photograph, (height, width), Image.Resampling.BICUBIC)
    return np.asarray(photograph, dtype=np.uint8)
