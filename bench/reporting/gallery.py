"""The strip of pictures: label map, what each variant made of it, and the real image."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from bench.imports import import_folder
from bench.plan import evaluation_of
from bench.reporting.collect import Collector
from bench.reporting.html import Picture
from bench.reporting.sampling import Chosen, GalleryRule, choose, image_scores
from bench.reporting.sheet import (
    FOOT_PX,
    GAP,
    MARGIN,
    WIDE_GAP,
    Legend,
    Pixels,
    draw_foot,
    draw_heading,
    draw_legend,
    draw_placeholder,
    font,
    foot_height,
    heading_height,
    legend_height,
    legend_lines,
    save_sheet,
    tile_size,
    wrapped,
)
from bench.store import Evaluation, Store
from bench.study import Study, StudyDataset

if TYPE_CHECKING:
    from bench.data.dataset import Dataset

_MOST_CLASSES = 32
FIRST = GalleryRule()


@dataclass(frozen=True, kw_only=True)
class GalleryItem:
    """One column of generated images."""

    label: str
    folder: Path
    """Holds ``<sample id>.png`` for every sample."""
    marks: str = ""
    """The sign behind the label, as in the tables."""
    subtitle: str = ""
    """A second, smaller line, such as the score."""
    evaluation: Evaluation | None = None
    """Of these images."""


@dataclass(frozen=True, kw_only=True)
class GallerySample:
    """One line of the strip; both pictures (H, W, 3) uint8 RGB of one size."""

    id: str
    label_colours: Pixels
    """The label map in the colours of the data set's palette."""
    image: Pixels
    """The real image."""

    def __post_init__(self) -> None:
        for name in ("label_colours", "image"):
            array = getattr(self, name)
            if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
                raise ValueError(
                    f"sample {self.id!r}: {name} is {array.dtype} {array.shape}; it must be uint8 of shape (H, W, 3)"
                )
        if self.label_colours.shape != self.image.shape:
            raise ValueError(
                f"sample {self.id!r}: the label map is {self.label_colours.shape[:2]} and the image "
                f"{self.image.shape[:2]} px (height, width); they must be equal"
            )


def study_galleries(study: Study, store: Store, out: Path, *, rule: GalleryRule = FIRST) -> list[Picture]:
    """One strip for each data set with a judged row, of the validation samples that ``rule`` chooses.

    Images are those of the study's first seed. Where the data set cannot be opened (a store copied from another
    machine) a warning says why and the strip is left out. Raises ValueError where the rule goes by a row that is not
    there, or that has no scores by image.
    """
    from bench.data.dataset import DatasetError
    from bench.data.opening import images_of, open_split

    pictures: list[Picture] = []
    for dataset in study.datasets:
        items = gallery_items(study, store, dataset)
        if not items:
            continue
        try:
            split = open_split(dataset.ref, "val")
            chosen = chosen_samples(rule, store, items, split, images_of(dataset.ref, split), study.seeds[0])
            shown = [
                GallerySample(id=sample.id, label_colours=split.palette[sample.labels], image=sample.image)
                for sample in map(split.load, chosen.indices)
            ]
        except (DatasetError, OSError) as error:
            warnings.warn(f"no gallery of {dataset.ref.name}: {error}", stacklevel=2)
            continue
        real = store.evaluation(evaluation_of(None, dataset).eval_id)
        protocols = sorted({item.evaluation.spec.protocol for item in items if item.evaluation is not None})
        height, width = dataset.ref.size
        caption = (
            f"Label map, generated images (seed {study.seeds[0]}) and real image on {dataset.ref.name} at "
            f"{height}×{width} px. Samples: {chosen.words}. Scores: {', '.join(protocols)}, whole split, that seed."
        )
        file = draw_gallery(
            items,
            shown,
            out / ("gallery.png" if len(study.datasets) == 1 else f"gallery_{dataset.ref.name}.png"),
            class_names=split.class_names,
            palette=split.palette,
            real_subtitle=_subtitle(real) if real else "",
            rule=chosen.words,
            caption=caption,
        )
        pictures.append(Picture(file=file, caption=caption))
    return pictures


def gallery_items(study: Study, store: Store, dataset: StudyDataset, seed: int | None = None) -> list[GalleryItem]:
    """The columns of a study: the judged images of each row that has been judged, of ``seed`` or the study's first."""
    wanted = study.seeds[0] if seed is None else seed
    items: list[GalleryItem] = []
    for measured in Collector(store).rows(replace(study, seeds=(wanted,)), dataset):
        if measured.imported is not None and (judged := measured.evaluations):
            folder = import_folder(store, measured.external, dataset.ref) / "images"
            label, score = f"{measured.label} (external)", judged[0]
            items.append(GalleryItem(label=label, folder=folder, subtitle=_subtitle(score), evaluation=score))
        for one in measured.seeds:
            found = one.evaluation
            if one.run is None or one.seed != wanted or found is None or found.step is None:
                continue
            folder = store.run(one.run).generated(found.step, found.spec)
            items.append(
                GalleryItem(
                    label=measured.label,
                    folder=folder,
                    marks=measured.marks,
                    subtitle=_subtitle(found),
                    evaluation=found,
                )
            )
    return items


def chosen_samples(
    rule: GalleryRule, store: Store, items: Sequence[GalleryItem], split: Dataset, count: int, seed: int
) -> Chosen:
    """The samples of the first ``count`` of ``split`` that ``rule`` chooses; ``seed`` is the one of ``items``.

    Raises ValueError where the rule goes by a row that is not among ``items`` or has no scores by image.
    """
    if not rule.scored:
        return choose(rule, count, split.sample_id)
    item = _named(rule.row, items)
    assert item.evaluation is not None
    scores = image_scores(store, item.evaluation)[:count]
    if len(scores) < count:
        scores = np.concatenate([scores, np.full(count - len(scores), np.nan)])
    words = f"mIoU within the image of {item.label} (seed {seed})"
    return choose(rule, count, split.sample_id, scores, words)


def _named(label: str, items: Sequence[GalleryItem]) -> GalleryItem:
    exact = [item for item in items if item.label == label]
    found = exact or [item for item in items if item.label.startswith(label)]
    if not label or len(found) == 1:
        return found[0]
    known = ", ".join(repr(item.label) for item in items)
    what = "begins more than one judged row" if found else "is no judged row"
    raise ValueError(f"--gallery-row {label!r} {what}; there are: {known}")


def _subtitle(evaluation: Evaluation) -> str:
    score = evaluation.scores.get("mIoU")
    return f"mIoU {score.value:.1f}" if score is not None and score.value is not None else ""


def draw_gallery(
    items: Sequence[GalleryItem],
    samples: Sequence[GallerySample],
    out: Path,
    *,
    class_names: Sequence[str],
    palette: Pixels,
    rule: str,
    real_subtitle: str = "",
    caption: str = "",
) -> Path:
    """Write the strip as a PNG file and return its path. A picture that is not there is left grey and says so.

    ``class_names`` and ``palette`` (K, 3) are the data set's; the legend shows the classes that occur. ``rule`` says
    how the samples were chosen and is printed below; the file carries it, the sample ids and ``caption`` as text.
    Raises ValueError without samples or items, or for pictures of another size than the label map.
    """
    if not samples or not items:
        raise ValueError(f"a gallery needs at least one sample and one variant; given: {len(samples)} and {len(items)}")
    canvas = _Canvas.planned(items, samples)
    made = [(f"{item.label} {item.marks}".strip(), item.subtitle) for item in items]
    headings = [("label map", ""), *made, ("real image", real_subtitle)]
    head = heading_height(headings, canvas.tile[0])
    inner = canvas.width - 2 * MARGIN
    legend = legend_lines(_classes_shown(samples, class_names, palette), inner)
    foot = wrapped(f"Rows: {rule}.", inner, font(FOOT_PX))
    pictures_end = MARGIN + head + len(samples) * (canvas.tile[1] + GAP)
    legend_top = pictures_end + 12
    foot_top = legend_top + legend_height(legend) + 8
    sheet = Image.new("RGB", (canvas.width, foot_top + foot_height(foot) + MARGIN // 2), "white")
    draw = ImageDraw.Draw(sheet)
    for left, (title, subtitle) in zip(canvas.lefts, headings, strict=True):
        draw_heading(draw, left, MARGIN + head, canvas.tile[0], title, subtitle)
    for line, sample in enumerate(samples):
        _draw_line(sheet, canvas, MARGIN + head + line * (canvas.tile[1] + GAP), items, sample)
    draw_legend(draw, legend_top, legend)
    draw_foot(draw, foot_top, foot)
    path = out if out.suffix == ".png" else out / "gallery.png"
    about = {"Description": caption or f"Rows: {rule}.", "Samples": " ".join(sample.id for sample in samples)}
    return save_sheet(sheet, path, about)


@dataclass(frozen=True, kw_only=True)
class _Canvas:
    """Where the columns lie, in px."""

    lefts: tuple[int, ...]
    tile: tuple[int, int]
    """(width, height)."""
    width: int

    @classmethod
    def planned(cls, items: Sequence[GalleryItem], samples: Sequence[GallerySample]) -> _Canvas:
        height, width = samples[0].image.shape[:2]
        tile = tile_size(width, height)
        lefts, left = [MARGIN], MARGIN + tile[0] + WIDE_GAP
        for _ in items:
            lefts.append(left)
            left += tile[0] + GAP
        lefts.append(left - GAP + WIDE_GAP)
        return cls(lefts=tuple(lefts), tile=tile, width=lefts[-1] + tile[0] + MARGIN)


def _draw_line(
    sheet: Image.Image, canvas: _Canvas, top: int, items: Sequence[GalleryItem], sample: GallerySample
) -> None:
    labels = Image.fromarray(sample.label_colours).resize(canvas.tile, Image.Resampling.NEAREST)
    sheet.paste(labels, (canvas.lefts[0], top))
    for left, item in zip(canvas.lefts[1:-1], items, strict=True):
        file = item.folder / f"{sample.id}.png"
        if file.is_file():
            picture = _opened(file, sample)
            sheet.paste(picture.resize(canvas.tile, Image.Resampling.LANCZOS), (left, top))
        else:
            draw_placeholder(sheet, (left, top), canvas.tile)
    real = Image.fromarray(sample.image).resize(canvas.tile, Image.Resampling.LANCZOS)
    sheet.paste(real, (canvas.lefts[-1], top))


def _opened(file: Path, sample: GallerySample) -> Image.Image:
    with Image.open(file) as stored:
        picture = stored.convert("RGB")
    height, width = sample.image.shape[:2]
    if picture.size != (width, height):
        raise ValueError(
            f"{file}: {picture.size[0]}x{picture.size[1]} px, but its label map is {width}x{height} (width x height)"
        )
    return picture


def _classes_shown(samples: Sequence[GallerySample], class_names: Sequence[str], palette: Pixels) -> Legend:
    """(name, colour) of the classes in the label maps, the largest areas first."""
    if len(class_names) != len(palette):
        raise ValueError(f"{len(class_names)} class names but {len(palette)} colours; each class needs one of both")
    seen = np.concatenate([sample.label_colours.reshape(-1, 3) for sample in samples])
    colours, counts = np.unique(seen, axis=0, return_counts=True)
    areas = {
        (int(red), int(green), int(blue)): int(count) for (red, green, blue), count in zip(colours, counts, strict=True)
    }
    found: dict[tuple[int, int, int], str] = {}
    for name, (red, green, blue) in zip(class_names, palette, strict=True):
        colour = (int(red), int(green), int(blue))
        if colour in areas:
            found.setdefault(colour, name)
    ordered = sorted(found, key=lambda colour: -areas[colour])
    shown = [(found[colour], colour) for colour in ordered[:_MOST_CLASSES]]
    left_out = len(ordered) - len(shown)
    return [*shown, (f"and {left_out} smaller ones", (255, 255, 255))] if left_out else shown
