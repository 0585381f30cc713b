"""The gallery and the grids: what is shown where, by which rule it was chosen, and errors that name the place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.opening import open_split
from bench.reporting.gallery import GalleryItem, GallerySample, draw_gallery, gallery_items, study_galleries
from bench.reporting.grids import draw_grid, draw_multimodal_grid, draw_style_grid
from bench.reporting.render import report
from bench.reporting.sampling import GalleryRule, choose, image_scores
from bench.store import Evaluation

from .conftest import FakeStore

PALETTE = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], dtype=np.uint8)
NAMES = ("red", "green", "blue")
BY_HAND = "chosen for a test"


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
        rule=BY_HAND,
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
    with Image.open(path) as picture:
        assert picture.text == {"Description": f"Rows: {BY_HAND}.", "Samples": "s0 s1"}
    # The classes that occur are in the legend, the one that does not is not; the missing picture stays grey.
    assert not (sheet == (0, 200, 0)).all(axis=2).any()
    assert (sheet == (240, 240, 240)).all(axis=2).sum() > 0.8 * area


def test_gallery_refuses_pictures_of_another_size(tmp_path: Path) -> None:
    write_picture(tmp_path / "a", "s0", 30, size=(32, 64))
    item = GalleryItem(label="first", folder=tmp_path / "a")
    with pytest.raises(ValueError, match=r"s0\.png: 32x64 px, but its label map is 64x64"):
        draw_gallery([item], [sample("s0", 0)], tmp_path, class_names=NAMES, palette=PALETTE, rule=BY_HAND)
    with pytest.raises(ValueError, match="at least one sample and one variant; given: 0 and 1"):
        draw_gallery([item], [], tmp_path, class_names=NAMES, palette=PALETTE, rule=BY_HAND)
    write_picture(tmp_path / "a", "s0", 30)
    with pytest.raises(ValueError, match="2 class names but 3 colours"):
        draw_gallery([item], [sample("s0", 0)], tmp_path, class_names=NAMES[:2], palette=PALETTE, rule=BY_HAND)


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
    (picture,) = study_galleries(study, store, tmp_path, rule=GalleryRule(images=2))
    assert picture.file == tmp_path / "gallery.png"
    assert "Samples: the first 2 of 200 validation samples." in picture.caption
    assert "synthetic@2" in picture.caption
    sheet = np.asarray(Image.open(picture.file))
    real = np.asarray(Image.fromarray(split.load(1).image).resize((192, 192), Image.Resampling.LANCZOS))
    tiles = np.lib.stride_tricks.sliding_window_view(sheet[:, -28 - 192 : -28], (192,), axis=0)
    assert (tiles.transpose(0, 3, 1, 2) == real).all(axis=(1, 2, 3)).sum() == 1
    report(study, store, tmp_path, ["md", "html"], pictures=[picture])
    assert json.loads((tmp_path / "captions.json").read_text(encoding="utf-8"))["gallery"] == picture.caption
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


def test_the_first_and_the_random_samples() -> None:
    def names(index: int) -> str:
        return f"scene {index}"

    first = choose(GalleryRule(images=3), 10, names)
    assert (first.indices, first.words) == ((0, 1, 2), "the first 3 of 10 validation samples")
    assert choose(GalleryRule(images=30), 10, names).indices == tuple(range(10))
    some = choose(GalleryRule(kind="random", images=4, seed=1), 50, names)
    assert some == choose(GalleryRule(kind="random", images=4, seed=1), 50, names)
    assert some.words == "4 of 50 validation samples drawn at random with seed 1"
    assert choose(GalleryRule(kind="random", images=9, seed=1), 50, names).indices[:4] == some.indices
    draws = [choose(GalleryRule(kind="random", images=4, seed=seed), 50, names).indices for seed in range(300)]
    assert len(set(draws)) > 290
    counts = np.bincount(np.concatenate(draws), minlength=50)  # 24 expected of each
    assert counts.min() >= 5
    assert counts.max() <= 50


def test_the_best_and_the_worst_samples_go_by_the_score() -> None:
    scores = [30.0, np.nan, 50.0, 10.0, 50.0]
    best = choose(GalleryRule(kind="best", images=3), 5, str, scores, "mIoU within the image of A (seed 0)")
    assert best.indices == (2, 4, 0)
    words = "the 3 of 5 validation samples with the highest mIoU within the image of A (seed 0), the highest first"
    assert best.words == words
    assert choose(GalleryRule(kind="worst", images=2), 5, str, scores, "x").indices == (3, 0)
    assert set(choose(GalleryRule(kind="worst", images=9), 5, str, scores, "x").indices) == {0, 2, 3, 4}


def write_counts(fake: FakeStore, evaluation: Evaluation, rows: list[tuple[int, int, int, int]], images: int) -> None:
    np.savez_compressed(
        fake.store.confusion_file(evaluation.eval_id),
        per_image=np.array(rows),
        sample_ids=np.array([str(index) for index in range(images)]),
        class_of=np.array([0, 1, 1, -1]),
        classes=np.array(["a", "b"]),
    )


def test_scores_by_image_are_means_over_the_classes_of_the_image(partial: FakeStore) -> None:
    evaluation = partial.judge("SPADE decoder", mIoU=43.0)
    rows = [
        # image, label id, judge's class, pixels
        *((0, 0, 0, 6), (0, 0, 1, 2), (0, 1, 1, 3), (0, 2, 0, 1)),  # a: 6 of 6+2+1; b (ids 1 and 2): 3 of 3+1+2
        *((1, 0, 0, 5), (1, 3, 1, 9)),  # unlabelled pixels count in no class
        (2, 3, 0, 4),  # nothing is labelled
    ]
    write_counts(partial, evaluation, rows, 3)
    found = image_scores(partial.store, evaluation)
    assert found[:2] == pytest.approx([50 * (6 / 9 + 3 / 6), 100.0])
    assert np.isnan(found[2])


def judged_with_pictures(fake: FakeStore) -> None:
    split = open_split(fake.study.datasets[0].ref, "val")
    for item in gallery_items(fake.study, fake.store, fake.study.datasets[0]):
        item.folder.mkdir(parents=True)
        for index in range(3):
            write_picture(item.folder, split.sample_id(index), 10 + 60 * index)


def test_the_gallery_shows_the_worst_samples_of_a_row(partial: FakeStore, tmp_path: Path) -> None:
    judged_with_pictures(partial)
    evaluation = partial.judge("decoder w/ Concat", mIoU=40.0)
    right = [3, 1, 2]
    rows = [row for image in range(3) for row in ((image, 0, 0, right[image]), (image, 1, 0, 4 - right[image]))]
    write_counts(partial, evaluation, rows, 3)
    rule = GalleryRule(kind="worst", images=2, row="decoder")
    (picture,) = study_galleries(partial.study, partial.store, tmp_path, rule=rule)
    assert (
        "the 2 of 200 validation samples with the lowest mIoU within the image of decoder w/ Concat" in picture.caption
    )
    sheet = np.asarray(Image.open(picture.file))
    column = sheet[:, 28 + 192 + 20 + 96]  # through the first row's pictures
    greys = [grey for grey in (10, 70, 130) if (column == grey).all(axis=1).sum() == 192]
    assert greys == [70, 130]
    tops = [int(np.argmax((column == grey).all(axis=1))) for grey in (70, 130)]
    assert tops[0] < tops[1]


def test_rules_that_cannot_be_followed_say_why(partial: FakeStore, tmp_path: Path) -> None:
    for values, told in (
        ({"kind": "mine"}, "--gallery-rule is 'mine'; allowed are first, random, best, worst"),
        ({"images": 0}, "--gallery-images is 0; a gallery needs at least 1"),
        ({"seed": -1}, "--gallery-seed is -1; it must be at least 0"),
        ({"seed": 3}, "--gallery-seed 3 means nothing with --gallery-rule first"),
        ({"row": "x"}, "--gallery-row 'x' means nothing with --gallery-rule first"),
    ):
        with pytest.raises(ValueError, match=told):
            GalleryRule(**values)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"--gallery-row 'pix' is no judged row; there are: 'SPADE decoder', 'decoder"):
        study_galleries(partial.study, partial.store, tmp_path, rule=GalleryRule(kind="best", row="pix"))
    with pytest.raises(ValueError, match=r"confusion\.npz is not there, .* or use --gallery-rule first or random"):
        study_galleries(partial.study, partial.store, tmp_path, rule=GalleryRule(kind="best"))


def plain(grey: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    return np.full((*size, 3), grey, np.uint8)


def test_a_grid_has_every_picture_in_its_place(tmp_path: Path) -> None:
    write_picture(tmp_path, "file", 40)
    lines = [[tmp_path / "file.png", plain(80)], [plain(120), None]]
    picture = draw_grid(
        lines, tmp_path / "grid.png", column_labels=["a", "b"], line_labels=["one", "two"], caption="what it shows"
    )
    sheet = np.asarray(Image.open(picture.file))
    places = {grey: np.argwhere((sheet == grey).all(axis=2)) for grey in (40, 80, 120, 240)}
    full = {grey: [line for line in range(len(sheet)) if (places[grey][:, 0] == line).sum() >= 192] for grey in places}
    assert [len(full[grey]) for grey in (40, 80, 120)] == [192] * 3
    corners = {
        grey: (lines[0], int(places[grey][places[grey][:, 0] == lines[0], 1].min())) for grey, lines in full.items()
    }
    assert corners[40][0] == corners[80][0] < corners[120][0] == corners[240][0]
    assert corners[40][1] == corners[120][1] < corners[80][1] == corners[240][1]
    with Image.open(picture.file) as stored:
        assert stored.text["Description"] == picture.caption == "what it shows"
    again = draw_grid(
        lines, tmp_path / "again.png", column_labels=["a", "b"], line_labels=["one", "two"], caption="what it shows"
    )
    assert again.file.read_bytes() == picture.file.read_bytes()


def test_multimodal_and_style_grids_check_their_numbers(tmp_path: Path) -> None:
    maps, made = [plain(10), plain(20)], [[plain(30), plain(40), plain(50)], [plain(60), plain(70), plain(80)]]
    several = draw_multimodal_grid(maps, made, tmp_path / "z.png", reals=[plain(90), plain(100)], caption="two maps")
    sheet = np.asarray(Image.open(several.file))
    assert all((sheet == grey).all(axis=2).sum() >= 192 * 192 for grey in range(10, 101, 10))
    styles = [plain(110, (32, 64)), plain(120), plain(130)]  # a style image may have a shape of its own
    guided = draw_style_grid(styles, maps, made, tmp_path / "style.png")
    sheet = np.asarray(Image.open(guided.file))
    assert (sheet == 110).all(axis=2).sum() >= 96 * 192
    assert all((sheet == grey).all(axis=2).sum() >= 192 * 192 for grey in (10, 20, 30, 80, 120, 130))
    between = draw_style_grid(
        [plain(110), None, plain(130)], maps, made, tmp_path / "to.png", map_labels=["a", "b"], about={"kept": "this"}
    )
    sheet = np.asarray(Image.open(between.file))
    assert (sheet == 240).all(axis=2).sum() < 500, "nothing above a step between two styles, not even a grey picture"
    with Image.open(between.file) as stored:
        assert stored.text["kept"] == "this"
    with pytest.raises(ValueError, match="2 label maps need as many lines of samples .* given: 1 and 0"):
        draw_multimodal_grid(maps, made[:1], tmp_path / "z.png")
    with pytest.raises(ValueError, match="2 label maps and 2 styles need 2 lines of 2 samples; given: 2 lines of 3, 3"):
        draw_style_grid(styles[:2], maps, made, tmp_path / "style.png")


def test_a_grid_that_does_not_fit_names_the_place(tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    with pytest.raises(ValueError, match=r"lines of equally many pictures, at least one; given: lines of \[1, 2\]"):
        draw_grid([[plain(1)], [plain(1), plain(2)]], out)
    with pytest.raises(ValueError, match="1 column labels for 2 columns"):
        draw_grid([[plain(1), plain(2)]], out, column_labels=["a"])
    with pytest.raises(ValueError, match="2 line labels for 1 lines"):
        draw_grid([[plain(1)]], out, line_labels=["a", "b"])
    with pytest.raises(ValueError, match=r"picture 2 of line 1: there is no file .*gone\.png"):
        draw_grid([[plain(1), tmp_path / "gone.png"]], out)
    with pytest.raises(ValueError, match=r"picture 1 of line 1 is float64 \(4, 4\); it must be uint8"):
        draw_grid([[np.zeros((4, 4))]], out)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="a grid of 1 x 2 pictures has none that is there"):
        draw_grid([[None, None]], out)
    assert not out.exists()
