"""What a split consists of, in numbers: from its manifest, so that no file is opened again."""

from __future__ import annotations

import csv
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.atomic import write_json, written_beside
from bench.data.dataset import Dataset
from bench.data.manifest import Manifest

_SYNTHETIC_SCENES = 200
"""Scenes of the embedded world that are drawn to be counted."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Smallest, middle and largest of some whole numbers."""

    least: int
    median: float
    most: int


@dataclass(frozen=True, kw_only=True)
class ClassShare:
    """How much of a split one label id covers."""

    id: int
    name: str
    pixels: int
    share: float
    """Of all pixels, don't care included; 0 to 1."""
    images: int
    """Label maps in which it occurs."""
    scored: bool
    """Whether means over classes run over it."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """A split in numbers."""

    dataset: str
    split: str
    layout: str
    content_hash: str
    pairs: int
    official_pairs: int | None
    counted: int
    """Label maps that the pixels were counted in: all of them, or the first of the embedded world's scenes."""
    height: Spread
    width: Spread
    sizes: Mapping[str, int]
    """Pairs of each size, as height x width, the most frequent first."""
    image_modes: Mapping[str, int]
    """Photographs of each Pillow mode."""
    instance_ids: Spread | None
    """Different ids in an instance map: what the edges tell apart, stuff included. None without instance maps."""
    ignored_share: float
    """Share of the pixels that no score counts (don't care, unknown); 0 to 1."""
    classes: tuple[ClassShare, ...]
    """Every label id in order."""
    warnings: tuple[str, ...]

    @property
    def present(self) -> tuple[ClassShare, ...]:
        """The label ids that occur, the largest first."""
        return tuple(sorted((one for one in self.classes if one.pixels), key=lambda one: (-one.pixels, one.id)))

    @property
    def never_seen(self) -> tuple[ClassShare, ...]:
        """The scored classes that occur nowhere."""
        return tuple(one for one in self.classes if one.scored and not one.pixels)


def split_statistics(dataset: Dataset, manifest: Manifest, *, dont_care_value: int | None) -> Statistics:
    """The numbers of a split of files. ``dont_care_value``: what its files have for the last label id, if anything."""

    def of_ids(counts: Mapping[int, int]) -> dict[int, int]:
        return {(dataset.spec.classes if value == dont_care_value else value): n for value, n in counts.items()}

    entries = manifest.entries
    sizes = Counter(f"{entry.height}x{entry.width}" for entry in entries)
    instance_ids = [entry.instance_ids for entry in entries if entry.instance_ids is not None]
    classes = _shares(dataset, of_ids(manifest.label_pixels), of_ids(manifest.label_images))
    return Statistics(
        dataset=dataset.name,
        split=dataset.split,
        layout=manifest.layout,
        content_hash=dataset.manifest_hash,
        pairs=len(entries),
        official_pairs=manifest.official_pairs,
        counted=len(entries),
        height=_spread([entry.height for entry in entries]),
        width=_spread([entry.width for entry in entries]),
        sizes=dict(sizes.most_common()),
        image_modes=manifest.image_modes,
        instance_ids=_spread(instance_ids) if instance_ids and dataset.spec.instance_edges else None,
        ignored_share=sum(one.share for one in classes if one.id in dataset.ignore_ids),
        classes=classes,
        warnings=manifest.warnings,
    )


def scene_statistics(dataset: Dataset) -> Statistics:
    """The numbers of a split of the embedded world, from its first scenes."""
    import numpy as np

    counted = min(_SYNTHETIC_SCENES, len(dataset))
    pixels: Counter[int] = Counter()
    images: Counter[int] = Counter()
    instance_ids = []
    for index in range(counted):
        sample = dataset.load(index)
        counts = np.bincount(sample.labels.ravel(), minlength=dataset.spec.ids)
        pixels.update({label: int(count) for label, count in enumerate(counts) if count})
        images.update(int(label) for label in np.flatnonzero(counts))
        if sample.instances is not None:
            instance_ids.append(len(np.unique(sample.instances)))
    height, width = dataset.size
    return Statistics(
        dataset=dataset.name,
        split=dataset.split,
        layout="drawn, no files",
        content_hash=dataset.manifest_hash,
        pairs=len(dataset),
        official_pairs=None,
        counted=counted,
        height=_spread([height]),
        width=_spread([width]),
        sizes={f"{height}x{width}": len(dataset)},
        image_modes={"RGB": len(dataset)},
        instance_ids=_spread(instance_ids) if instance_ids else None,
        ignored_share=0.0,
        classes=_shares(dataset, pixels, images),
        warnings=(),
    )


def write_statistics(numbers: Statistics, json_path: Path, csv_path: Path) -> None:
    """All numbers as JSON, and the classes as CSV, one a line."""
    write_json(json_path, asdict(numbers))
    with written_beside(csv_path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, fieldnames=list(ClassShare.__dataclass_fields__), lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(one) for one in numbers.classes)


def statistics_lines(numbers: Statistics, *, top: int = 10) -> list[str]:
    """The numbers in words, for a terminal."""
    present, never = numbers.present, numbers.never_seen
    official = f" of {numbers.official_pairs:,}" if numbers.official_pairs is not None else ""
    high, wide = _spelled(numbers.height, " px"), _spelled(numbers.width, " px")
    lines = [
        f"pairs          {numbers.pairs:,}{official} ({numbers.layout}), content hash {numbers.content_hash[:12]}",
        f"sizes          height {high}, width {wide}; {_sizes(numbers)}",
    ]
    if set(numbers.image_modes) - {"RGB"}:
        modes = ", ".join(f"{mode} {count:,}" for mode, count in numbers.image_modes.items())
        lines.append(f"image modes    {modes}; all are read as RGB")
    if numbers.instance_ids is not None:
        lines.append(f"instance ids   {_spelled(numbers.instance_ids)} an image (regions of stuff included)")
    scored = sum(one.scored for one in numbers.classes)
    counted = f", counted in {numbers.counted:,} scenes" if numbers.counted < numbers.pairs else ""
    occur = f"{len(present)} of {len(numbers.classes)} occur"
    lines.append(f"label ids      {occur}; {scored - len(never)} of {scored} scored classes{counted}")
    if never:
        shown = ", ".join(one.name for one in never[:top])
        lines.append(f"never seen     {shown}" + (f" and {len(never) - top} more" if len(never) > top else ""))
    largest = ", ".join(f"{one.name} {_percent(one.share)}" for one in present[:top])
    lines.append(f"largest        {largest}")
    lines.append(f"not scored     {_percent(numbers.ignored_share)} of the pixels (don't care, unknown)")
    return lines


def _shares(dataset: Dataset, pixels: Mapping[int, int], images: Mapping[int, int]) -> tuple[ClassShare, ...]:
    total = max(1, sum(pixels.values()))
    scored = set(dataset.scored_classes)
    return tuple(
        ClassShare(
            id=label,
            name=name,
            pixels=pixels.get(label, 0),
            share=pixels.get(label, 0) / total,
            images=images.get(label, 0),
            scored=label in scored,
        )
        for label, name in enumerate(dataset.class_names)
    )


def _spread(numbers: Sequence[int]) -> Spread:
    return Spread(least=min(numbers), median=float(statistics.median(numbers)), most=max(numbers))


def _spelled(spread: Spread, unit: str = "") -> str:
    if spread.least == spread.most:
        return f"{spread.least:,}{unit}"
    return f"{spread.least:,} to {spread.most:,}{unit} (median {spread.median:,.0f})"


def _sizes(numbers: Statistics) -> str:
    if len(numbers.sizes) == 1:
        return "all alike"
    size, count = next(iter(numbers.sizes.items()))
    return f"{len(numbers.sizes):,} sizes, most often {size} ({_percent(count / numbers.pairs)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 or share == 0 else "< 0.1 %"
