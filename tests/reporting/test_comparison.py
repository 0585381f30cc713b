"""Per-image counts, the intervals that come from them, and two rows against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.evaluation.metrics import ClassMean, segmentation_scores
from bench.plan import evaluation_of
from bench.reporting.comparison import comparison_table
from bench.reporting.image_counts import SEGMENTATION, read_counts
from bench.reporting.options import ReportOptions
from bench.reporting.render import render
from bench.reporting.resampling import image_interval, multiplicities
from bench.reporting.tables import Collected
from bench.reporting.text import cell_text
from bench.store import Store

from .conftest import FakeStore, make_study
from .fabricated import write_counts

IMAGES = 80


def judged_with_counts(fake: FakeStore, label: str, seed: int, quality: float) -> None:
    """A run with counts on the same images as every other one."""
    fake.train(label, seed)
    found = fake.judge(label, seed, images=IMAGES, mIoU=0.0, accu_all=0.0, accu_labelled=0.0, FD=5.0 - seed)
    random = np.random.default_rng(7)
    write_counts(fake.store, found, random, IMAGES, quality=quality)


@pytest.fixture
def one_seed(fake: FakeStore) -> FakeStore:
    judged_with_counts(fake, "SPADE decoder", 0, 0.60)
    judged_with_counts(fake, "pix2pixHD", 0, 0.57)
    fake.done("pix2pixHD++", mIoU=30.0, FD=3.0)
    return fake


@pytest.fixture
def three_seeds(tmp_path: Path) -> FakeStore:
    fake = FakeStore(make_study(seeds=(0, 1, 2)), Store(tmp_path / "three"))
    for seed in range(3):
        judged_with_counts(fake, "SPADE decoder", seed, 0.60 + 0.01 * seed)
        judged_with_counts(fake, "pix2pixHD", seed, 0.50 + 0.01 * seed)
    return fake


@pytest.mark.parametrize("metric", SEGMENTATION)
@pytest.mark.parametrize("class_mean", ["present", "all", "union"])
def test_counts_give_the_evaluations_own_score(one_seed: FakeStore, metric: str, class_mean: ClassMean) -> None:
    spec = evaluation_of(one_seed.run_spec("SPADE decoder"), one_seed.study.datasets[0])
    path = one_seed.store.confusion_file(spec.eval_id)
    counts = read_counts(path)
    assert counts is not None
    with np.load(path) as arrays:
        class_of = [None if place < 0 else int(place) for place in arrays["class_of"]]
        rows, shape = arrays["per_image"], arrays["total"].shape

    def expected(left_out: int | None) -> float | None:
        total = np.zeros(shape, np.int64)
        kept = rows[rows[:, 0] != left_out] if left_out is not None else rows
        np.add.at(total, (kept[:, 1], kept[:, 2]), kept[:, 3])
        scores = segmentation_scores(total, class_of, class_mean)
        return {
            "mIoU": scores.mean_iou,
            "accu@all": scores.accuracy_all,
            "accu@labelled": scores.accuracy_labelled,
        }[metric]

    assert counts.scores(metric, np.ones((1, IMAGES)), class_mean)[0] == pytest.approx(expected(None), rel=1e-12)
    without = counts.leave_one_out(metric, class_mean)
    assert without.shape == (IMAGES,)
    assert without[[0, 41]] == pytest.approx([expected(0), expected(41)], rel=1e-12)


def test_other_metrics_do_not_follow_from_counts(one_seed: FakeStore) -> None:
    spec = evaluation_of(one_seed.run_spec("SPADE decoder"), one_seed.study.datasets[0])
    counts = read_counts(one_seed.store.confusion_file(spec.eval_id))
    assert counts is not None
    with pytest.raises(ValueError, match="FID@tf does not follow from confusion counts; those that do: mIoU"):
        counts.leave_one_out("FID@tf", "present")


def test_the_jackknife_of_a_mean_is_the_textbooks_interval() -> None:
    values = np.random.default_rng(1).normal(10, 2, 4000)
    without = (values.sum() - values) / (len(values) - 1)
    low, high = image_interval(values.mean(), without)
    # of so many alike images the effective number is so large that t is normal
    half_width = 1.959964 * values.std(ddof=1) / np.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half_width, values.mean() + half_width), abs=1e-3)
    assert image_interval(5.0, np.full(30, 5.0)) == (5.0, 5.0)


def test_resamples_are_the_same_every_time_and_sum_to_the_images() -> None:
    drawn = multiplicities(IMAGES)
    assert (drawn.sum(axis=1) == IMAGES).all()
    multiplicities.cache_clear()
    assert np.array_equal(drawn, multiplicities(IMAGES))


def test_one_seed_has_a_marked_interval_over_images(one_seed: FakeStore) -> None:
    (table,) = Collected(one_seed.study, one_seed.store).tables()
    cell = table.cell("SPADE decoder", "mIoU")
    assert (cell.n_seeds, cell.interval_over) == (1, "images")
    assert cell.interval is not None
    assert cell.value is not None
    assert cell.interval[0] < cell.value < cell.interval[1]
    assert cell_text(cell, table.columns[table.column("mIoU")], table).endswith("ⁱ")
    assert cell_text(table.cell("pix2pixHD++", "mIoU"), table.columns[table.column("mIoU")], table) == "30.0°"
    assert table.cell("SPADE decoder", "FD@synthetic-judge").interval is None
    assert sum(note.startswith("±ⁱ: one seed, so half the width of the 95 % jackknife") for note in table.notes) == 1


def test_the_interval_may_be_over_seeds_images_or_both(three_seeds: FakeStore) -> None:
    widths, over = {}, {}
    for wanted in ("seeds", "images", "both"):
        options = ReportOptions(interval=wanted)  # type: ignore[arg-type]
        (table,) = Collected(three_seeds.study, three_seeds.store, options).tables()
        cell = table.cell("SPADE decoder", "mIoU")
        over[wanted], widths[wanted] = cell.interval_over, cell.half_width
    assert over == {"seeds": "seeds", "images": "images", "both": "seeds and images"}
    assert widths["both"] == pytest.approx((widths["seeds"] ** 2 + widths["images"] ** 2) ** 0.5)  # type: ignore[operator]
    with pytest.raises(ValueError, match="interval is 'std'; allowed are: seeds, images, both"):
        ReportOptions(interval="std")  # type: ignore[arg-type]


def test_a_damaged_file_of_counts_is_named_and_costs_only_its_interval(one_seed: FakeStore) -> None:
    spec = evaluation_of(one_seed.run_spec("SPADE decoder"), one_seed.study.datasets[0])
    one_seed.store.confusion_file(spec.eval_id).write_bytes(b"half a file")
    (table,) = Collected(one_seed.study, one_seed.store).tables()
    assert table.cell("SPADE decoder", "mIoU").interval is None
    assert any(f"{spec.eval_id}/confusion.npz: not a file of confusion counts" in note for note in table.notes)


def test_two_rows_of_one_seed_are_compared_image_by_image(one_seed: FakeStore) -> None:
    table = comparison_table(Collected(one_seed.study, one_seed.store), "SPADE", "pix2pixHD")
    label = "synthetic, mIoU ↑"
    difference = table.cell(label, "images")
    assert difference.interval is not None
    first, second = table.cell(label, "first").value, table.cell(label, "second").value
    assert first is not None
    assert second is not None
    assert difference.value == pytest.approx(first - second)
    # the errors of both rows are drawn alike, so the images' own difficulty cancels
    (alone,) = Collected(one_seed.study, one_seed.store).tables()
    width = alone.cell("SPADE decoder", "mIoU").half_width
    assert width is not None
    assert difference.half_width is not None
    assert difference.half_width < width / 2
    assert difference.interval[0] > 0
    assert table.cell(label, "p_images").value == 1.0
    assert table.cell(label, "seeds").state == "blank"
    assert table.cell("synthetic, FD@synthetic-judge ↓", "images").state == "blank"


def test_two_rows_of_three_seeds_are_compared_over_both(three_seeds: FakeStore) -> None:
    table = comparison_table(Collected(three_seeds.study, three_seeds.store), "SPADE decoder", "pix2pixHD")
    label = "synthetic, mIoU ↑"
    images, seeds, both = (table.cell(label, key).half_width for key in ("images", "seeds", "both"))
    assert None not in (images, seeds, both)
    assert both == pytest.approx((images**2 + seeds**2) ** 0.5)  # type: ignore[operator]
    assert table.cell(label, "p_seeds").value == 1.0
    # lower is better, and both rows have the same distances: 5, 4, 3
    assert table.cell("synthetic, FD@synthetic-judge ↓", "p_seeds").value == 0.5
    text = render("", [table], "terminal", width=160)
    assert "over images" in text
    assert "Welch's interval" in text


def test_rows_that_do_not_exist_are_refused_with_those_that_do(one_seed: FakeStore) -> None:
    collected = Collected(one_seed.study, one_seed.store)
    with pytest.raises(ValueError, match=r"(?s)--compare: 'OASIS' is no row; the rows are:.*SPADE decoder"):
        comparison_table(collected, "OASIS", "pix2pixHD")
    with pytest.raises(ValueError, match=r"'pix' begins more than one row \(pix2pixHD\+\+, pix2pixHD\)"):
        comparison_table(collected, "pix", "SPADE")
    with pytest.raises(ValueError, match="are one row, 'SPADE decoder'; name two"):
        comparison_table(collected, "SPADE", "SPADE decoder")


def test_nothing_to_compare_yet_is_said(fake: FakeStore) -> None:
    table = comparison_table(Collected(fake.study, fake.store), "SPADE decoder", "pix2pixHD")
    assert table.notes[0].startswith("Nothing to compare yet")
