"""Plots and the gallery: drawn from what is there, nothing for what is not, and labels that can be read."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.opening import open_split
from bench.reporting.curves import training_frame
from bench.reporting.gallery import GalleryItem, GallerySample, draw_gallery, gallery_items, study_galleries
from bench.reporting.labels import place_labels
from bench.reporting.plots import draw_score_against_parameters, study_plots
from bench.reporting.render import report
from bench.reporting.style import COLOURS, mark, settle
from bench.reporting.tables import study_tables
from bench.store import Store

from .conftest import FakeStore, make_study

PALETTE = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], dtype=np.uint8)
NAMES = ("red", "green", "blue")


def test_nothing_is_drawn_without_numbers(fake: FakeStore, tmp_path: Path) -> None:
    assert study_plots(fake.study, fake.store, study_tables(fake.study, fake.store), tmp_path / "out") == []


def test_score_plot_says_what_is_compared_and_is_the_same_twice(partial: FakeStore, tmp_path: Path) -> None:
    tables = study_tables(partial.study, partial.store)
    first = draw_score_against_parameters(tables, tmp_path / "a", kinds=("svg", "png", "pdf"))
    second = draw_score_against_parameters(tables, tmp_path / "b", kinds=("svg", "png", "pdf"))
    assert first is not None
    assert second is not None
    assert [path.suffix for path in first.files] == [".svg", ".png", ".pdf"]
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in second.files]
    for word in (
        "mIoU",
        "parameters of the generator",
        "synthetic@2",
        "200 validation images",
        "One seed",
        "real images",
    ):
        assert word in first.caption


def test_labels_cover_neither_each_other_nor_markers() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 3.3), layout="constrained")
    panel = figure.subplots()
    rng = np.random.default_rng(3)
    points = [
        (float(x), float(y), f"a row called {index}", "#0072B2") for index, (x, y) in enumerate(rng.random((8, 2)))
    ]
    panel.plot([point[0] for point in points], [point[1] for point in points], "o")
    panel.set_xlim(-0.4, 1.4)
    settle(figure)
    before = len(panel.lines)
    place_labels(panel, points)
    assert len(panel.lines) == before
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for text in panel.texts if text.get_text()]
    assert len(boxes) == 8
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))
    centres = panel.transData.transform([point[:2] for point in points])
    assert not any(box.contains(*centre) for box in boxes for centre in centres)


def test_first_sixteen_rows_look_different() -> None:
    marks = [mark(index) for index in range(2 * len(COLOURS))]
    assert len(set(marks)) == len(marks)


def test_curves_take_scores_and_losses_only(tmp_path: Path) -> None:
    fake = FakeStore(make_study(seeds=(0, 1)), Store(tmp_path / "store"))
    for seed in (0, 1):
        run = fake.train("SPADE decoder", seed, state="running", step=20)
        lines = [
            {"step": 10, "generator/adversarial": 1.0 + seed, "images_per_s": 9.0, "memory_mib": 1.0},
            {"step": 10, "score/mIoU": 12.0, "score/accu@all": 50.0},
        ]
        fake.store.run(run).metrics_file.write_text(
            "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
        )
    frame = training_frame(fake.study, fake.study.datasets[0], fake.store)
    assert sorted(set(frame["key"])) == ["generator/adversarial", "score/mIoU"]
    assert frame[frame["key"] == "generator/adversarial"]["value"].tolist() == [1.0, 2.0]
    (drawn,) = study_plots(
        fake.study, fake.store, study_tables(fake.study, fake.store), tmp_path / "out", kinds=("png",)
    )
    assert drawn.files[0].name == "training_curves.png"
    assert "mean over 2 seeds" in drawn.caption


def sample(name: str, label: int, size: tuple[int, int] = (64, 64)) -> GallerySample:
    ids = np.full(size, label)
    return GallerySample(id=name, label_colours=PALETTE[ids], image=np.full((*size, 3), 90, dtype=np.uint8))


def write_picture(folder: Path, name: str, grey: int, size: tuple[int, int] = (64, 64)) -> None:
    folder.mkdir(exist_ok=True)
    Image.new("RGB", size, (grey, grey, grey)).save(folder / f"{name}.png")


def test_gallery_shows_labels_variants_and_real_images(tmp_path: Path) -> None:
    for name in ("s0", "s1"):
        write_picture(tmp_path / "a", name, 30)
    write_picture(tmp_path / "b", "s0", 160)
    items = [GalleryItem(label="first", folder=tmp_path / "a"), GalleryItem(label="second", folder=tmp_path / "b")]
    path = draw_gallery(
        items,
        [sample("s0", 0), sample("s1", 2)],
        tmp_path,
        class_names=NAMES,
        palette=PALETTE,
        real_subtitle="mIoU 89.0",
    )
    assert path == tmp_path / "gallery.png"
    sheet = np.asarray(Image.open(path).convert("RGB"))
    area = 192 * 192
    for colour, tiles in (
        ((30, 30, 30), 2),
        ((160, 160, 160), 1),
        ((90, 90, 90), 2),
        ((200, 0, 0), 1),
        ((0, 0, 200), 1),
    ):
        assert (sheet == colour).all(axis=2).sum() >= tiles * area
    # The classes that occur are in the legend, the one that does not is not; the missing picture stays grey.
    assert not (sheet == (0, 200, 0)).all(axis=2).any()
    assert (sheet == (240, 240, 240)).all(axis=2).sum() > 0.8 * area


def test_gallery_refuses_pictures_of_another_size(tmp_path: Path) -> None:
    write_picture(tmp_path / "a", "s0", 30, size=(32, 64))
    item = GalleryItem(label="first", folder=tmp_path / "a")
    with pytest.raises(ValueError, match=r"s0\.png: 32x64 px, but its label map is 64x64"):
        draw_gallery([item], [sample("s0", 0)], tmp_path, class_names=NAMES, palette=PALETTE)
    with pytest.raises(ValueError, match="at least one sample and one variant; given: 0 and 1"):
        draw_gallery([item], [], tmp_path, class_names=NAMES, palette=PALETTE)
    write_picture(tmp_path / "a", "s0", 30)
    with pytest.raises(ValueError, match="2 class names but 3 colours"):
        draw_gallery([item], [sample("s0", 0)], tmp_path, class_names=NAMES[:2], palette=PALETTE)


def test_gallery_sample_checks_its_arrays() -> None:
    good = np.zeros((8, 8, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"sample 's': image is float64 \(8, 8\); it must be uint8"):
        GallerySample(id="s", label_colours=good, image=np.zeros((8, 8)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"label map is \(8, 8\) and the image \(8, 16\)"):
        GallerySample(id="s", label_colours=good, image=np.zeros((8, 16, 3), dtype=np.uint8))


def test_gallery_columns_are_the_judged_rows_with_their_score(partial: FakeStore) -> None:
    items = gallery_items(partial.study, partial.store, partial.study.datasets[0])
    assert [(item.label, item.subtitle) for item in items] == [
        ("SPADE decoder", "mIoU 43.2"),
        ("decoder w/ Concat", "mIoU 40.0"),
    ]
    run = partial.run_spec("SPADE decoder")
    spec = next(found.spec for found in partial.store.evaluations() if found.spec.subject == run.name)
    assert items[0].folder == partial.store.run(run).generated(300, spec)


def test_study_gallery_opens_the_data_and_names_the_rule(partial: FakeStore, tmp_path: Path) -> None:
    study, store = partial.study, partial.store
    split = open_split(study.datasets[0].ref, "val")
    for item in gallery_items(study, store, study.datasets[0]):
        item.folder.mkdir(parents=True)
        write_picture(item.folder, split.sample_id(0), 30)
    (picture,) = study_galleries(study, store, tmp_path, samples=2)
    assert picture.file == tmp_path / "gallery.png"
    assert "first 2 validation samples of synthetic" in picture.caption
    sheet = np.asarray(Image.open(picture.file))
    real = np.asarray(Image.fromarray(split.load(1).image).resize((192, 192), Image.Resampling.LANCZOS))
    tiles = np.lib.stride_tricks.sliding_window_view(sheet[:, -28 - 192 : -28], (192,), axis=0)
    assert (tiles.transpose(0, 3, 1, 2) == real).all(axis=(1, 2, 3)).sum() == 1
    report(study, store, tmp_path, ["md", "html"], pictures=[picture])
    assert "](gallery.png)" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "data:image/png;base64," in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_study_gallery_is_left_out_with_a_warning_without_the_data(partial: FakeStore, tmp_path: Path) -> None:
    (dataset,) = partial.study.datasets
    gone = replace(dataset, ref=replace(dataset.ref, val_manifest="0" * 64))
    fake = FakeStore(replace(partial.study, datasets=(gone,)), partial.store)
    fake.judge("SPADE decoder", mIoU=43.0)
    with pytest.warns(UserWarning, match="no gallery of synthetic: dataset 'synthetic', split val: the files under"):
        assert study_galleries(fake.study, fake.store, tmp_path) == []


def test_study_without_judged_rows_has_no_gallery(fake: FakeStore, tmp_path: Path) -> None:
    assert study_galleries(fake.study, fake.store, tmp_path) == []
