"""Figures of a study: which points, lines and names are drawn, what captions say, and nothing without numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baselines.registry import get_variant
from baselines.sweeps import width_sweep
from bench.plan import evaluation_of
from bench.reporting import bars, capacity, classes, cost_plot, curves, forks, sweep
from bench.reporting.cost_plot import pareto_front
from bench.reporting.families import families
from bench.reporting.material import Material, gather
from bench.reporting.plots import CAPTIONS_FILE, study_plots
from bench.reporting.render import report
from bench.reporting.style import Drawn
from bench.reporting.tables import study_tables
from bench.store import Evaluation, Store
from bench.study import Row

from .conftest import FakeStore, make_dataset, make_study


@dataclass
class Caught:
    """Figures on their way to disk."""

    figures: dict[str, Any]
    captions: dict[str, str]

    def texts(self, name: str) -> list[str]:
        """Every text of a figure that is not empty, legends included."""
        from matplotlib.text import Text

        return [text.get_text() for text in self.figures[name].findobj(Text) if text.get_text()]


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> Caught:
    found = Caught({}, {})

    def keep(figure: Any, out: Path, name: str, *, title: str, caption: str, kinds: Any = ()) -> Drawn:
        found.figures[name], found.captions[name] = figure, caption
        return Drawn(files=(), shown=out / f"{name}.svg", title=title, caption=caption)

    for module in (bars, capacity, classes, cost_plot, curves, sweep):
        monkeypatch.setattr(module, "save", keep)
    monkeypatch.setattr(forks, "in_forks", lambda tasks: [task() for task in tasks])  # what forks draw is not seen here
    return found


def material_of(fake: FakeStore) -> Material:
    return gather(fake.study, fake.store, study_tables(fake.study, fake.store))


def with_classes(fake: FakeStore, evaluation: Evaluation, iou: dict[str, float | None], pixels: dict[str, int]) -> None:
    fake.store.write_evaluation(replace(evaluation, class_iou=iou, class_pixels=pixels))


def markers(axis: Any) -> set[tuple[float, float]]:
    """Places of single markers."""
    return {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axis.lines
        if len(line.get_xdata()) == 1 and line.get_marker() not in ("_", "|", "None", 0, 1, 2, 3)
    }


def test_nothing_is_drawn_without_numbers(fake: FakeStore, tmp_path: Path) -> None:
    assert study_plots(fake.study, fake.store, study_tables(fake.study, fake.store), tmp_path / "out") == []


def test_a_partial_study_draws_what_it_has(partial: FakeStore, caught: Caught, tmp_path: Path) -> None:
    names = [
        drawn.shown.stem
        for drawn in study_plots(partial.study, partial.store, study_tables(partial.study, partial.store), tmp_path)
    ]
    assert names == ["score_vs_parameters", "scores"]
    (axis,) = caught.figures["score_vs_parameters"].axes
    assert {(1_234_567.0, 43.25), (999_600.0, 40.0)} <= markers(axis)
    texts = caught.texts("score_vs_parameters")
    assert {"SPADE decoder", "decoder w/ Concat†", "↑ real images 89.0"} <= set(texts)
    assert "pix2pixHD" not in texts
    for word in ("parameters of the generator", "synthetic@2 on synthetic (N = 200 images)", "One seed", "real images"):
        assert word in caught.captions["score_vs_parameters"]
    assert "Checkpoint: the last of each run." in caught.captions["score_vs_parameters"]


def test_rows_that_are_the_same_trainings_are_one_marker_with_both_names(tmp_path: Path, caught: Caught) -> None:
    fake = FakeStore(make_study(), Store(tmp_path / "store"))
    first, *rest = fake.study.rows
    long = replace(rest[0], label="a row with a long name and hyphens here-and-there")
    fake.study = replace(fake.study, rows=(first, long, *rest[1:], replace(first, label="the same by another name")))
    fake.done(first.label, 0, parameters=1_234_567, mIoU=43.25)
    fake.done(long.label, 0, parameters=999_600, mIoU=43.25)
    study_plots(fake.study, fake.store, study_tables(fake.study, fake.store), tmp_path / "out")
    lines = [text for text in caught.texts("score_vs_parameters") if text.startswith("a row with")]
    assert lines[0].split("\n")[:2] == ["a row with a long name and", "hyphens here-and-there†"], "broken at spaces"
    texts = [text.replace("\n", " ") for text in caught.texts("score_vs_parameters")]
    assert f"{first.label} = the same by another name" in texts
    assert not {first.label, "the same by another name"} & set(texts)
    (axis,) = caught.figures["score_vs_parameters"].axes
    assert markers(axis) == {(1_234_567.0, 43.25), (999_600.0, 43.25)}


def test_bars_keep_the_place_of_rows_without_a_value(partial: FakeStore, caught: Caught, tmp_path: Path) -> None:
    study_plots(partial.study, partial.store, study_tables(partial.study, partial.store), tmp_path)
    axis = caught.figures["scores"].axes[0]
    assert [bar.get_width() for bar in axis.patches if bar.get_width() > 0 and bar.get_height() > 0.5] == [43.25, 40.0]
    written = {text.get_text(): text.get_position()[1] for text in axis.texts}
    assert (written["running"], written["failed"], written["pending"]) == (2, 3, 4)
    assert {"43.2", "40.0"} <= set(written)
    assert axis.get_xlim()[0] == 0
    titles = {axis.get_title(loc="left") for axis in caught.figures["scores"].axes}
    assert {"accu@all (%) ↑", "FD@synthetic-judge ↓"} <= titles


def test_intervals_and_seeds_are_named(tmp_path: Path, caught: Caught) -> None:
    fake = FakeStore(make_study(seeds=(0, 1, 2)), Store(tmp_path / "store"))
    for seed, value in enumerate((40.0, 42.0, 44.0)):
        fake.done("SPADE decoder", seed, parameters=1_000_000, mIoU=value)
    bars.draw_bars(material_of(fake), tmp_path)
    assert "Mean over 3 seeds. Bars: 95 % interval over seeds." in caught.captions["scores"]


def test_the_papers_numbers_stand_beside_ours_where_it_has_the_data_set(tmp_path: Path, caught: Caught) -> None:
    study = make_study(datasets=(make_dataset("coco_stuff", "COCO-Stuff"),))
    fake = FakeStore(study, Store(tmp_path / "store"))
    fake.done("SPADE decoder", parameters=90_000_000, mIoU=30.0)
    capacity.draw_score_against_parameters(material_of(fake), tmp_path)
    (axis,) = caught.figures["score_vs_parameters"].axes
    assert {(90_000_000.0, 30.0), (96e6, 35.2), (183e6, 14.6)} <= markers(axis)
    assert "grey: the numbers of the paper's Table 3" in caught.captions["score_vs_parameters"]


def sweep_study(widths: tuple[int, ...] = (8, 16, 32)) -> Any:
    rows = [
        Row(label=f"{name} {item.generator.width}", variant=item, recipe=item.recipe())
        for name, taken in (("spade-decoder", widths), ("pix2pixhd", widths[:1]))
        for item in width_sweep(get_variant(name), taken)
    ]
    return replace(make_study(table=None), rows=tuple(rows))


def test_families_are_rows_that_differ_in_width_alone() -> None:
    rows = list(sweep_study((32, 8, 16)).rows)
    assert families(rows) == [(1, 2, 0)]
    kernel = replace(rows[0], label="other kernel", variant=rows[0].variant.scaled(kernel=1, width=64))
    recipe = replace(rows[0].recipe, learning_rate_generator=0.5)
    trained = replace(rows[0], label="other recipe", recipe=recipe, variant=rows[0].variant.scaled(width=64))
    twice = replace(rows[1], label="the same width again")
    assert families([*rows, kernel, trained]) == [(1, 2, 0)]
    assert families([*rows, twice]) == []


def test_widths_of_one_architecture_are_joined_in_their_order(tmp_path: Path, caught: Caught) -> None:
    fake = FakeStore(sweep_study(), Store(tmp_path / "store"))
    for width, count, value in ((8, 1e6, 20.0), (16, 4e6, 30.0), (32, 1.6e7, 35.0)):
        fake.done(f"spade-decoder {width}", parameters=int(count), mIoU=value, FD=60 - value)
    fake.done("pix2pixhd 8", parameters=2_000_000, mIoU=10.0)
    material = material_of(fake)
    capacity.draw_score_against_parameters(material, tmp_path)
    (axis,) = caught.figures["score_vs_parameters"].axes
    lines = [line.get_xydata().tolist() for line in axis.lines if len(line.get_xdata()) == 3]
    assert lines == [[[1e6, 20.0], [4e6, 30.0], [1.6e7, 35.0]]]
    assert len({material.look(index).colour for index in range(3)}) == 1
    assert len({material.look(index) for index in range(4)}) == 4

    sweep.draw_width_sweep(material, tmp_path)
    figure = caught.figures["width_sweep"]
    assert len(figure.axes) == 2
    assert [line.get_xdata().tolist() for line in figure.axes[0].lines if len(line.get_xdata()) == 3] == [[8, 16, 32]]
    assert "spade-decoder" in caught.texts("width_sweep")
    assert "pix2pixhd" not in caught.texts("width_sweep")


def test_two_widths_are_no_sweep(tmp_path: Path, caught: Caught) -> None:
    fake = FakeStore(sweep_study(), Store(tmp_path / "store"))
    for width in (8, 16):
        fake.done(f"spade-decoder {width}", parameters=width, mIoU=float(width))
    assert sweep.draw_width_sweep(material_of(fake), tmp_path) is None


def test_the_front_keeps_what_nothing_betters_in_both() -> None:
    points = [(4.0, 40.0), (1.0, 10.0), (2.0, 30.0), (3.0, 29.0), (2.0, 30.0), (5.0, 40.0)]
    assert pareto_front(points, lower_cost=True, higher_score=True) == [1, 2, 4, 0]
    assert pareto_front(points, lower_cost=False, higher_score=True) == [5]
    assert pareto_front(points, lower_cost=True, higher_score=False) == [1]
    rng = np.random.default_rng(0)
    many = [(float(x), float(y)) for x, y in rng.integers(0, 12, (40, 2))]
    front = pareto_front(many, lower_cost=True, higher_score=True)
    for index, (cost, score) in enumerate(many):
        beaten = any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in many)
        assert (index in front) == (not beaten)


def test_cost_is_drawn_where_runs_tell_it(partial: FakeStore, caught: Caught, tmp_path: Path) -> None:
    assert cost_plot.draw_score_against_cost(material_of(partial), tmp_path) == []
    run = partial.run_spec("SPADE decoder")
    folder = partial.store.run(run)
    folder.write_status(state="done", step=300, steps=300, images_per_s=40.0)
    gpus = {"hardware": {"gpus": ["H100"]}, "generator_parameters": 1_234_567, "generator_multiply_adds": 5_000_000}
    folder.write_provenance(gpus, 1)
    (drawn,) = cost_plot.draw_score_against_cost(material_of(partial), tmp_path)
    places = {axis.get_xlabel().split(" ")[0]: markers(axis) for axis in caught.figures["score_vs_cost"].axes}
    assert places["parameters"] == {(1_234_567.0, 43.25), (999_600.0, 40.0)}
    assert places["multiply-adds"] == {(5_000_000.0, 43.25)}
    assert places["images"] == {(40.0, 43.25)}
    assert places["GPU-hours"] == {(300 * 8 / 40 / 3600, 43.25)}
    assert "Pareto front" in drawn.caption


def test_classes_are_ordered_by_frequency_and_averaged_over_seeds(tmp_path: Path, caught: Caught) -> None:
    fake = FakeStore(make_study(seeds=(0, 1)), Store(tmp_path / "store"))
    pixels = {"car": 100, "sky": 900, "never": 0}
    for seed, value in enumerate((10.0, 30.0)):
        fake.train("SPADE decoder", seed)
        evaluation = fake.judge("SPADE decoder", seed, mIoU=value)
        with_classes(fake, evaluation, {"car": value, "sky": 80.0, "never": None}, pixels)
    material = material_of(fake)
    assert classes.class_frequencies(material.panels[0]) == {"sky": 0.9, "car": 0.1}
    (row,) = classes.class_scores(material, material.panels[0])
    assert (row.iou, row.seeds) == ({"car": 20.0, "sky": 80.0}, 2)
    (drawn,) = classes.draw_class_iou(material, tmp_path)
    (axis,) = caught.figures["class_iou"].axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["sky  90 %", "car  10 %"]
    assert "Means over 2 seeds" in drawn.caption


def test_many_classes_are_points_with_a_line_through_groups(tmp_path: Path, caught: Caught) -> None:
    fake = FakeStore(make_study(), Store(tmp_path / "store"))
    names = [f"class {number:02d}" for number in range(60)]
    fake.train("SPADE decoder")
    iou: dict[str, float | None] = {name: float(number) for number, name in enumerate(names)}
    with_classes(fake, fake.judge("SPADE decoder", mIoU=1.0), iou, {name: 60 - n for n, name in enumerate(names)})
    classes.draw_class_iou(material_of(fake), tmp_path)
    (axis,) = caught.figures["class_iou"].axes
    assert sorted(len(line.get_xdata()) for line in axis.lines) == [8, 60]
    assert axis.get_xscale() == "log"
    shares, scores = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}, {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}
    middles = classes.group_means(shares, scores, 2)
    assert middles == [(pytest.approx((0.1 * 0.2) ** 0.5), 1.5), (pytest.approx((0.3 * 0.4) ** 0.5), 3.5)]


def record(fake: FakeStore, label: str, seed: int, lines: list[dict[str, object]], **status: object) -> None:
    run = fake.train(label, seed, **status)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    fake.store.run(run).metrics_file.write_text(text, encoding="utf-8")


def test_curves_are_losses_and_scores_with_what_they_were_made_by(tmp_path: Path, caught: Caught) -> None:
    fake = FakeStore(make_study(seeds=(0, 1)), Store(tmp_path / "store"))
    for seed in (0, 1):
        lines: list[dict[str, object]] = [
            {"step": step, "generator/adversarial": 1.0 + seed + step, "images_per_s": 9.0}
            for step in (10, 20)[: seed + 1]
        ]
        score = {"step": 10, "score/mIoU": 12.0, "score/accu@all": 50.0, "protocol": "synthetic@2", "images": 64}
        record(fake, "SPADE decoder", seed, [*lines, score], state="running", step=20)
    material = material_of(fake)
    found = curves.training_curves(material, material.panels[0])
    assert sorted({curve.key for curve in found}) == ["generator/adversarial", "score/mIoU"]
    drawn = curves.draw_curves(material, tmp_path)
    assert [figure.shown.stem for figure in drawn] == ["training_scores", "training_losses"]
    assert "(synthetic@2, the first 64 validation images)" in drawn[0].caption
    assert "mean over 2 seeds" in drawn[0].caption
    losses = [curve for curve in found if curve.key.startswith("generator")]
    steps, values = curves.mean_over_seeds(losses)
    assert (steps.tolist(), values.tolist()) == ([10], [11.5])


def test_of_rows_with_many_seeds_the_curves_of_the_first_are_drawn(tmp_path: Path, caught: Caught) -> None:
    fake = FakeStore(make_study(seeds=tuple(range(15))), Store(tmp_path / "store"))
    for seed in range(15):
        if seed != 3:
            record(fake, "SPADE decoder", seed, [{"step": 10, "generator/adversarial": float(seed)}], state="done")
    material = material_of(fake)
    found = curves.training_curves(material, material.panels[0])
    assert [curve.seed for curve in found] == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    (drawn,) = curves.draw_curves(material, tmp_path)
    assert "mean over the first 12 seeds of 14, as far as" in drawn.caption


def test_judged_checkpoints_of_several_steps_are_a_curve(tmp_path: Path, caught: Caught) -> None:
    fake = FakeStore(make_study(), Store(tmp_path / "store"))
    study = replace(
        fake.study, datasets=(replace(make_dataset(), training=replace(make_dataset().training, save_every_steps=100)),)
    )
    fake = FakeStore(study, fake.store)
    run = fake.train("SPADE decoder", parameters=1)
    last = fake.judge("SPADE decoder", mIoU=40.0)
    for step, value in ((100, 10.0), (200, 30.0)):
        spec = replace(evaluation_of(run, study.datasets[0]), step=step)
        earlier = replace(last, eval_id=spec.eval_id, spec=spec, step=step)
        fake.store.write_evaluation(replace(earlier, scores={"mIoU": replace(last.scores["mIoU"], value=value)}))
    material = material_of(fake)
    (curve,) = curves.training_curves(material, material.panels[0])
    assert (curve.key, curve.steps.tolist(), curve.values.tolist()) == (
        "judged/mIoU",
        [100, 200, 300],
        [10.0, 30.0, 40.0],
    )
    (drawn,) = curves.draw_curves(material, tmp_path)
    assert "Whole split: checkpoints judged by the table's protocol (synthetic@2, 200 images)" in drawn.caption
    for step in (200, 300):  # images of these steps are there, so nothing else is looked for
        (fake.store.run(run).path / "generated" / f"step_{step:08d}-raw-maps0-noise0").mkdir(parents=True)
    assert list(curves.judged_steps(fake.store, run, last.spec)) == [200]


def test_the_best_checkpoint_is_ringed_and_the_rule_is_told(tmp_path: Path, caught: Caught) -> None:
    dataset = make_dataset()
    training = replace(dataset.training, selection="best", eval_every_steps=100)
    fake = FakeStore(make_study(datasets=(replace(dataset, training=training),)), Store(tmp_path / "store"))
    scores: list[dict[str, object]] = [{"step": step, "score/mIoU": step / 10} for step in (100, 200, 300)]
    record(fake, "SPADE decoder", 0, scores)
    fake.store.write_evaluation(replace(fake.judge("SPADE decoder", mIoU=19.0), step=200))
    (drawn,) = curves.draw_curves(material_of(fake), tmp_path)
    (axis,) = caught.figures["training_scores"].axes
    assert markers(axis) == {(200.0, 20.0)}
    assert "Checkpoint: the one with the best mIoU during training. Rings: the reported checkpoints." in drawn.caption


def test_a_long_loss_is_thinned_to_means() -> None:
    values = np.arange(1000, dtype=float)
    long = curves.Curve(index=0, seed=0, key="generator/x", steps=np.arange(1, 1001) * 50, values=values)
    short = curves.thinned(long, 100)
    assert (len(short.steps), short.steps[-1]) == (100, 50_000)
    assert short.values.mean() == pytest.approx(values.mean())
    assert curves.thinned(replace(long, key="score/mIoU"), 100).steps.size == 1000


def test_the_report_keeps_every_caption_beside_the_pictures(partial: FakeStore, tmp_path: Path) -> None:
    files = report(partial.study, partial.store, tmp_path, ["md"], figures=("svg",))
    captions = json.loads((tmp_path / CAPTIONS_FILE).read_text(encoding="utf-8"))
    assert set(captions) == {"score_vs_parameters", "scores"}
    assert all((tmp_path / f"{name}.svg") in files for name in captions)
    drawing = (tmp_path / "scores.svg").read_text(encoding="utf-8")
    assert "One seed, no interval." in drawing  # the file carries its caption
    assert captions["scores"].split(" (")[0] in (tmp_path / "report.md").read_text(encoding="utf-8")
