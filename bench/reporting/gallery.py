"""The strip of pictures: label map, what each variant made of it, and the real image."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bench.atomic import written_beside
from bench.imports import import_folder
from bench.plan import evaluation_of
from bench.reporting.collect import Collector
from bench.reporting.html import Picture
from bench.reporting.style import INK, SOFT
from bench.store import Evaluation, Store
from bench.study import Study, StudyDataset

Pixels = NDArray[np.uint8]
_TILE_PX = 192
"""Least height of a shown picture; smaller ones are enlarged by a whole factor."""
_GAP, _WIDE_GAP, _MARGIN = 6, 20, 28
_TITLE_PX, _SMALL_PX = 20, 17
_PLACEHOLDER = "#f0f0f0"
_MOST_CLASSES = 32


@dataclass(frozen=True, kw_only=True)
class GalleryItem:
    """One column of generated images."""

    label: str
    folder: Path
    """Holds ``<sample id>.png`` for every sample."""
    subtitle: str = ""
    """A second, smaller line, such as the score."""


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


def study_galleries(study: Study, store: Store, out: Path, *, samples: int = 6) -> list[Picture]:
    """One strip for each data set with a judged row: the first ``samples`` validation samples, none left out.

    Images are those of the study's first seed. Where the data set cannot be opened (a store copied from another
    machine) a warning says why and the strip is left out.
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
            count = min(samples, images_of(dataset.ref, split))
            shown = [
                GallerySample(id=sample.id, label_colours=split.palette[sample.labels], image=sample.image)
                for sample in map(split.load, range(count))
            ]
        except (DatasetError, OSError) as error:
            warnings.warn(f"no gallery of {dataset.ref.name}: {error}", stacklevel=2)
            continue
        real = evaluation_of(None, dataset)
        judged = store.evaluation(real.eval_id)
        file = draw_gallery(
            items,
            shown,
            out / ("gallery.png" if len(study.datasets) == 1 else f"gallery_{dataset.ref.name}.png"),
            class_names=split.class_names,
            palette=split.palette,
            real_subtitle=_subtitle(judged) if judged else "",
        )
        height, width = dataset.ref.size
        caption = (
            f"Label map, generated images (seed {study.seeds[0]}) and real image for the first {count} validation "
            f"samples of {dataset.ref.name} at {height}×{width} px; scores over the whole split."
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
            items.append(
                GalleryItem(label=f"{measured.label} (external)", folder=folder, subtitle=_subtitle(judged[0]))
            )
        for one in measured.seeds:
            found = one.evaluation
            if one.run is None or one.seed != wanted or found is None or found.step is None:
                continue
            folder = store.run(one.run).generated(found.step, found.spec)
            items.append(GalleryItem(label=measured.label, folder=folder, subtitle=_subtitle(found)))
    return items


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
    real_subtitle: str = "",
    rule: str = "",
) -> Path:
    """Write the strip as a PNG file and return its path. A picture that is not there is left grey and says so.

    ``class_names`` and ``palette`` (K, 3) are the data set's; the legend shows the classes that occur. ``rule`` says
    how the samples were chosen; by default, that they are the first ones. Raises ValueError without samples or
    items, or for pictures of another size than the label map.
    """
    if not samples or not items:
        raise ValueError(f"a gallery needs at least one sample and one variant; given: {len(samples)} and {len(items)}")
    canvas = _Canvas.planned(items, samples)
    headings = [("label map", ""), *((item.label, item.subtitle) for item in items), ("real image", real_subtitle)]
    legend = _classes_shown(samples, class_names, palette)
    footer = f"Rows: {rule or f'the first {len(samples)} validation samples, none left out'}."
    head = _heading_height(headings, canvas.tile[0])
    legend_lines = _legend_lines(legend, canvas.width - 2 * _MARGIN)
    below = 16 + len(legend_lines) * (_SMALL_PX + 12) + _SMALL_PX + 10
    height = _MARGIN + head + len(samples) * (canvas.tile[1] + _GAP) + below + _MARGIN // 2
    sheet = Image.new("RGB", (canvas.width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for left, (title, subtitle) in zip(canvas.lefts, headings, strict=True):
        _draw_heading(draw, left, _MARGIN + head, canvas.tile[0], title, subtitle)
    top = _MARGIN + head
    for sample in samples:
        _draw_line(sheet, canvas, top, items, sample)
        top += canvas.tile[1] + _GAP
    _draw_legend(draw, top + 12, legend_lines)
    draw.text((_MARGIN, top + below - _SMALL_PX - 2), footer, fill=SOFT, font=_font(_SMALL_PX - 2))
    path = out if out.suffix == ".png" else out / "gallery.png"
    with written_beside(path) as temporary:
        sheet.save(temporary, format="PNG", compress_level=1)  # a fifth larger, several times faster
    return path


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
        factor = max(1, -(-_TILE_PX // height))
        tile = (width * factor, height * factor)
        lefts, left = [_MARGIN], _MARGIN + tile[0] + _WIDE_GAP
        for _ in items:
            lefts.append(left)
            left += tile[0] + _GAP
        lefts.append(left - _GAP + _WIDE_GAP)
        return cls(lefts=tuple(lefts), tile=tile, width=lefts[-1] + tile[0] + _MARGIN)


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
            _draw_placeholder(sheet, (left, top), canvas.tile)
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


def _draw_placeholder(sheet: Image.Image, corner: tuple[int, int], tile: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(sheet)
    left, top = corner
    draw.rectangle((left, top, left + tile[0] - 1, top + tile[1] - 1), fill=_PLACEHOLDER)
    centre = (left + tile[0] / 2, top + tile[1] / 2)
    draw.text(centre, "not generated", fill=SOFT, font=_font(_SMALL_PX), anchor="mm")


@cache
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    import matplotlib  # for the font files that come with it

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Lines of at most ``width`` px, broken at spaces."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _heading_height(headings: Sequence[tuple[str, str]], width: int) -> int:
    lines = max(len(_wrapped(title, width, _font(_TITLE_PX, bold=True))) for title, _ in headings)
    subtitle = _SMALL_PX + 6 if any(subtitle for _, subtitle in headings) else 0
    return lines * (_TITLE_PX + 5) + subtitle + 8


def _draw_heading(draw: ImageDraw.ImageDraw, left: int, bottom: int, width: int, title: str, subtitle: str) -> None:
    """Centred over the column, the last line at ``bottom``."""
    font, small = _font(_TITLE_PX, bold=True), _font(_SMALL_PX)
    centre, y = left + width / 2, float(bottom - 8)
    for text, face in [(subtitle, small), *((line, font) for line in reversed(_wrapped(title, width, font)))]:
        if text:
            draw.text((centre, y), text, fill=INK if face is font else SOFT, font=face, anchor="md")
            y -= face.size + 5


def _classes_shown(
    samples: Sequence[GallerySample], class_names: Sequence[str], palette: Pixels
) -> list[tuple[str, tuple[int, int, int]]]:
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


def _legend_lines(
    legend: Sequence[tuple[str, tuple[int, int, int]]], width: int
) -> list[list[tuple[int, str, tuple[int, int, int]]]]:
    """Entries (left, name, colour) in as many lines as they need."""
    font = _font(_SMALL_PX)
    lines: list[list[tuple[int, str, tuple[int, int, int]]]] = [[]]
    left = 0
    for name, colour in legend:
        needed = 24 + round(font.getlength(name)) + 22
        if lines[-1] and left + needed > width:
            lines.append([])
            left = 0
        lines[-1].append((left, name, colour))
        left += needed
    return lines


def _draw_legend(
    draw: ImageDraw.ImageDraw, top: int, lines: Sequence[Sequence[tuple[int, str, tuple[int, int, int]]]]
) -> None:
    for line in lines:
        for left, name, colour in line:
            x, middle = _MARGIN + left, top + _SMALL_PX / 2 + 4
            draw.rectangle((x, middle - 8, x + 16, middle + 8), fill=colour, outline="#b0b0b0")
            draw.text((x + 24, middle), name, fill=INK, font=_font(_SMALL_PX), anchor="lm")
        top += _SMALL_PX + 12
