"""The leaderboard: who is ranked against whom, ties, moves of places, and files that only change when numbers do."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.plain import to_plain
from bench.reporting.leaderboard.csv_file import csv_text, read_lines
from bench.reporting.leaderboard.pages import boards, change_text, markdown, place_text
from bench.reporting.leaderboard.ranking import Line, ranked_lines, with_places
from bench.reporting.leaderboard.scan import scan
from bench.reporting.leaderboard.schema import COLUMNS, NAMES, markdown_table, table_schema
from bench.reporting.leaderboard.write import Leaderboard, write_leaderboard
from bench.reporting.statistics import seed_interval
from bench.store import Evaluation, EvaluationSpec, Score, Store

from .conftest import MISSING, FakeStore, make_dataset, make_study

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (0, 1, 2)


@pytest.fixture
def several(tmp_path: Path) -> FakeStore:
    """Three rows with three seeds, the last two within each other's interval, and the real images."""
    fake = FakeStore(make_study(seeds=SEEDS), Store(tmp_path / "store"))
    fake.judge(None, mIoU=89.0, FD=0.0, FID=MISSING)
    scores = {
        "SPADE decoder": (43.0, 43.5, 44.0),
        "decoder w/ Concat": (30.0, 31.0, 32.0),
        "pix2pixHD": (29.5, 30.5, 31.8),
    }
    for label, values in scores.items():
        for seed, value in enumerate(values):
            fake.done(label, seed, parameters=1000 + seed, mIoU=value, FD=100 - value, FID=MISSING)
    return fake


def lines_of(stores: list[Store], metric: str = "mIoU") -> list[Line]:
    return [line for line in ranked_lines(scan(stores).runs) if line.metric == metric]


def places(lines: list[Line]) -> dict[str, str]:
    return {line.variant: place_text(line) for line in lines}


def test_means_intervals_and_places_with_ties(several: FakeStore) -> None:
    lines = lines_of([several.store])
    assert places(lines) == {"spade-decoder": "1", "concat-decoder": "2=", "pix2pixhd": "2=", "real": ""}
    first = lines[0]
    assert first.mean == pytest.approx(43.5)
    assert (first.low, first.high) == pytest.approx(seed_interval([43.0, 43.5, 44.0]))
    assert (first.seeds, first.n_seeds, first.params, first.commits) == (("0", "1", "2"), 3, 1000, ("abcdef0123",))
    assert first.run_ids == tuple(several.run_spec("SPADE decoder", seed).run_id for seed in SEEDS)
    assert "width=8" in first.settings
    assert (first.recipe, first.steps, first.batch_images, first.images) == ("code", 300, 8, 200)
    distances = lines_of([several.store], "FD@synthetic-judge")
    assert [line.variant for line in distances][:1] == ["spade-decoder"]
    assert not distances[0].higher_is_better


def test_a_chain_of_overlaps_is_not_one_place() -> None:
    """50 to 52, 47 to 50.5, 45 to 48: the third one overlaps the second one but not the first one of the place."""

    def line(name: str, low: float, high: float) -> Line:
        values = {name: None for name in NAMES}
        known = {"mean": (low + high) / 2, "low": low, "high": high, "entry": name, "higher_is_better": True}
        return Line(**{**values, **known, "provenance": "paper"})  # type: ignore[arg-type]

    found = with_places([line("c", 45, 48), line("a", 50, 52), line("b", 47, 50.5)])
    assert {item.entry: (item.rank, item.tied) for item in found} == {"a": (1, 2), "b": (1, 2), "c": (3, 1)}


def test_one_seed_is_a_point_and_marked(tmp_path: Path) -> None:
    fake = FakeStore(make_study(), Store(tmp_path))
    fake.done("SPADE decoder", mIoU=43.0)
    fake.done("pix2pixHD", mIoU=42.9)
    lines = lines_of([fake.store])
    assert places(lines) == {"spade-decoder": "1", "pix2pixhd": "2"}
    assert lines[0].low is None
    assert "43.0°" in markdown(lines)


def test_ranked_only_against_what_can_be_compared(tmp_path: Path) -> None:
    fake = FakeStore(make_study(), Store(tmp_path / "a"))
    fake.done("SPADE decoder", mIoU=43.0)
    fake.done("pix2pixHD", mIoU=20.0)
    other_size = replace(make_dataset(), ref=replace(make_dataset().ref, size=(32, 32)))
    other_images = replace(make_dataset(), ref=replace(make_dataset().ref, val_manifest="f" * 64))
    for number, dataset in enumerate((other_size, other_images, make_dataset("coco_stuff", "COCO-Stuff"))):
        other = FakeStore(make_study(datasets=(dataset,)), Store(tmp_path / f"b{number}"))
        other.done("pix2pixHD", mIoU=99.0)
    fewer = FakeStore(make_study(), Store(tmp_path / "c"))
    fewer.train("pix2pixHD++")
    fewer.judge("pix2pixHD++", mIoU=98.0, images=100)
    stores = [Store(path) for path in sorted(tmp_path.iterdir())]
    lines = lines_of(stores)
    assert len({line.board for line in lines}) == 5
    assert sorted(line.rank or 0 for line in lines) == [1, 1, 1, 1, 1, 2]
    assert len(boards(lines)) == 5


def test_other_files_of_the_judge_are_another_contest(tmp_path: Path) -> None:
    fake = FakeStore(make_study(), Store(tmp_path))
    fake.done("SPADE decoder", mIoU=43.0)
    fake.train("pix2pixHD")
    found = fake.judge("pix2pixHD", mIoU=50.0)
    (fake.store.evaluation_folder(found.eval_id) / "evaluation.json").unlink()
    name = "synthetic-judge"
    assert name in found.spec.weights_sha256
    spec = replace(found.spec, weights_sha256={**found.spec.weights_sha256, name: "0" * 64})
    fake.store.write_evaluation(replace(found, spec=spec, eval_id=spec.eval_id))
    lines = lines_of([fake.store])
    assert [line.rank for line in lines] == [1, 1]
    assert {line.judged_with for line in lines} >= {("synthetic-judge=00000000",)}
    assert markdown(lines).count("mIoU\u00a0↑ (synthetic-judge=") == 2


def test_files_that_a_metric_does_not_need_do_not_part_it(tmp_path: Path) -> None:
    """Of two evaluations of one run, before and after a file of another metric was there, the later one counts."""
    fake = FakeStore(make_study(), Store(tmp_path))
    fake.train("SPADE decoder")
    spec = fake.judge("SPADE decoder", mIoU=43.0, FID=MISSING).spec
    full = replace(spec, weights_sha256={**spec.weights_sha256, "inception-fid": "1" * 64})
    assert full.eval_id != spec.eval_id
    fake.store.write_evaluation(evaluation(full, mIoU=43.0, **{"FID@tf": 50.0}))
    (line,) = lines_of([fake.store])
    assert line.n_seeds == 1
    assert line.eval_ids == (full.eval_id,)
    (distance,) = lines_of([fake.store], "FID@tf")
    assert (distance.mean, distance.rank, distance.judged_with) == (50.0, 1, ("inception-fid=11111111",))


def evaluation(spec: EvaluationSpec, **scores: float) -> Evaluation:
    found = {name: Score(value=value) for name, value in scores.items()}
    return Evaluation(
        eval_id=spec.eval_id, spec=spec, images=200, step=None, scores=found, class_iou={}, class_pixels={}
    )


def test_imported_images_are_ranked_and_marked_external(several: FakeStore) -> None:
    real = next(found.spec for found in several.store.evaluations() if found.spec.subject == "real")
    several.store.write_evaluation(evaluation(replace(real, subject="external:SIMS | <b>"), mIoU=60.0))
    lines = lines_of([several.store])
    assert places(lines)["SIMS | <b>"] == "1"
    assert lines[0].provenance == "external"
    text = markdown(lines)
    assert r"SIMS \| \<b\> ⊕" in text
    assert "⊕ imported images" in text


def test_a_store_and_its_copy_count_once_and_seeds_join_over_stores(tmp_path: Path) -> None:
    for seed in (0, 1):
        fake = FakeStore(make_study(seeds=(seed,)), Store(tmp_path / str(seed)))
        fake.done("SPADE decoder", seed, mIoU=40.0 + seed)
    stores = [Store(tmp_path / "0"), Store(tmp_path / "1"), Store(tmp_path / "0")]
    scanned = scan(stores)
    assert scanned.copies == 1
    (line,) = [line for line in ranked_lines(scanned.runs) if line.metric == "mIoU"]
    assert (line.mean, line.seeds) == (40.5, ("0", "1"))


def test_what_cannot_be_read_is_told_and_passed_over(several: FakeStore, tmp_path: Path) -> None:
    run = several.run_spec("pix2pixHD", 0)
    several.store.run(run).spec_file.unlink()
    broken = next(path for path in sorted((several.store.root / "evaluations").iterdir()))
    (several.store.root / "evaluations" / "ffff").mkdir()
    (several.store.root / "evaluations" / "ffff" / "evaluation.json").write_text("{")
    (several.store.root / "evaluations" / "failed").mkdir()
    found = scan([several.store])
    assert len(found.problems) == 2
    assert any("run.json is missing" in problem for problem in found.problems)
    assert any("ffff/evaluation.json: not valid JSON" in problem for problem in found.problems)
    assert broken.name in {run.eval_id for run in found.runs}
    with pytest.raises(ValueError, match="there is no such store; give the folder that holds"):
        scan([Store(tmp_path / "nowhere")])
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="is no store: it has no folder evaluations/"):
        scan([Store(tmp_path / "other")])


def written(fake: FakeStore, out: Path) -> Leaderboard:
    return write_leaderboard([fake.store], out)


def moves(made: Leaderboard) -> dict[str, str]:
    return {line.variant: change_text(line) for line in made.lines if line.metric == "mIoU" and line.rank}


def test_places_move_and_a_second_writing_changes_nothing(several: FakeStore, tmp_path: Path) -> None:
    out = tmp_path / "results"
    first = written(several, out)
    assert moves(first) == {"spade-decoder": "new", "concat-decoder": "new", "pix2pixhd": "new"}
    assert len(first.changed) == 3
    for seed, value in enumerate((50.0, 50.5, 51.0)):
        several.done("pix2pixHD++", seed, mIoU=value)
    second = written(several, out)
    expected = {"pix2pixhd-pp": "new", "spade-decoder": "▼1", "concat-decoder": "▼1", "pix2pixhd": "▼1"}
    assert moves(second) == expected
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    third = written(several, out)
    assert moves(third) == expected
    assert third.changed == ()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()} == before


def test_only_the_board_that_changed_tells_of_moves(several: FakeStore, tmp_path: Path) -> None:
    out = tmp_path / "results"
    written(several, out)
    other = FakeStore(make_study(datasets=(make_dataset("coco_stuff", "COCO-Stuff"),)), several.store)
    other.done("pix2pixHD", mIoU=14.6)
    made = written(several, out)
    told = {(line.dataset, line.change) for line in made.lines if line.rank}
    assert told == {("synthetic", "new"), ("coco_stuff", "new")}
    other.done("SPADE decoder", mIoU=35.2)
    made = written(several, out)
    told = {
        (line.dataset, line.variant, change_text(line)) for line in made.lines if line.rank and line.metric == "mIoU"
    }
    assert ("coco_stuff", "pix2pixhd", "▼1") in told
    assert ("synthetic", "pix2pixhd", "new") in told


def test_an_entry_that_is_gone_is_told(several: FakeStore, tmp_path: Path) -> None:
    out = tmp_path / "results"
    written(several, out)
    for found in list(several.store.evaluations()):
        if "pix2pixhd-" in found.spec.subject:
            (several.store.evaluation_folder(found.eval_id) / "evaluation.json").unlink()
    made = written(several, out)
    assert [re.sub(r"\(\w+\)", "(ID)", name) for name in made.gone] == ["pix2pixhd (ID) on synthetic, synthetic@2"]
    assert moves(made) == {"spade-decoder": "", "concat-decoder": ""}


def test_another_file_of_that_name_is_not_overwritten(several: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "leaderboard.csv").write_text("name,score\nme,100\n")
    with pytest.raises(ValueError, match=r"leaderboard\.csv: its columns are name, score\.\.\.; .* move the file away"):
        written(several, tmp_path)
    assert (tmp_path / "leaderboard.csv").read_text() == "name,score\nme,100\n"
    assert not (tmp_path / "leaderboard.md").exists()


def test_every_line_is_what_the_schema_says(several: FakeStore, tmp_path: Path) -> None:
    written(several, tmp_path)
    lines = read_lines(tmp_path / "leaderboard.csv")
    assert len(lines) == 4 * 3
    patterns = {"integer": r"-?\d+", "number": r"-?\d+(\.\d+)?(e[+-]\d+)?", "boolean": "true|false", "string": ".*"}
    for line in lines:
        for column in COLUMNS:
            value = line[column.name]
            if value or column.required:
                assert re.fullmatch(patterns[column.type], value), (column.name, value)
                assert value, column.name
            assert not column.allowed or value in column.allowed, (column.name, value)
    keys = [tuple(line[name] for name in table_schema()["primaryKey"]) for line in lines]
    assert len(set(keys)) == len(keys)
    assert {line["reason"] for line in lines if line["metric"] == "FID@tf"} == {MISSING}


def test_the_documentation_prints_the_schema() -> None:
    page = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    assert markdown_table() in page
    assert [field["name"] for field in table_schema()["fields"]] == list(NAMES)
    json.dumps(table_schema())


def test_texts_of_a_store_do_not_break_the_files(several: FakeStore, tmp_path: Path) -> None:
    real = next(found.spec for found in several.store.evaluations() if found.spec.subject == "real")
    name = 'a,"b"\nc </script><script>alert(1)</script>'
    several.store.write_evaluation(evaluation(replace(real, subject=f"external:{name}"), mIoU=1.0))
    written(several, tmp_path)
    lines = read_lines(tmp_path / "leaderboard.csv")
    assert " ".join(name.split()) in {line["variant"] for line in lines}
    page = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert page.count("<script") == 2
    assert "alert(1)</script>" not in page
    assert list(csv.reader((tmp_path / "leaderboard.csv").open(newline="")))[0] == list(NAMES)


def test_an_empty_store_has_an_empty_leaderboard(fake: FakeStore, tmp_path: Path) -> None:
    fake.train("SPADE decoder")
    made = written(fake, tmp_path / "out")
    assert made.lines == ()
    assert read_lines(tmp_path / "out" / "leaderboard.csv") == []
    assert "Nothing has been judged yet." in (tmp_path / "out" / "leaderboard.md").read_text(encoding="utf-8")
    assert csv_text([]) == ",".join(NAMES) + "\n"


def grown(store: Store, ways: int) -> None:
    """So many ways of training with three seeds each: files copied from one run, as an evaluation leaves them."""
    fake = FakeStore(make_study(seeds=SEEDS), store)
    run = fake.train("SPADE decoder", parameters=1_000_000)
    found = fake.judge("SPADE decoder", mIoU=40.0, accu_all=60.0, FD=5.0, FID=MISSING)
    provenance = store.run(run).provenance()
    classes = {f"class {index}": 50.0 for index in range(182)}
    for way in range(ways):
        for seed in SEEDS:
            spec = replace(run, training=replace(run.training, steps=1000 + way), seed=seed)
            folder = store.root / "runs" / spec.name
            folder.mkdir(parents=True)
            (folder / "run.json").write_text(json.dumps(spec.to_json(), indent=2))
            (folder / "provenance.json").write_text(json.dumps(provenance, indent=2))
            judged = replace(found.spec, subject=spec.name, run_id=spec.run_id)
            data = replace(
                found,
                spec=judged,
                eval_id=judged.eval_id,
                class_iou=classes,
                class_pixels=dict.fromkeys(classes, 10),
                scores={name: Score(value=10.0 + way / 100 + seed, reason="") for name in found.scores},
            )
            place = store.root / "evaluations" / judged.eval_id
            place.mkdir(parents=True)
            (place / "evaluation.json").write_text(json.dumps(to_plain(data), indent=2))


def test_a_thousand_runs_are_ranked_in_one_pass_and_in_little_time(tmp_path: Path) -> None:
    """Processor time of a process of its own, so that other work on the machine does not count; without torch."""
    grown(Store(tmp_path / "store"), 333)
    code = (
        "import sys\nfrom pathlib import Path\nfrom bench.store import Store\n"
        "from bench.reporting.leaderboard.write import write_leaderboard\n"
        "made = write_leaderboard([Store(sys.argv[1])], Path(sys.argv[2]))\n"
        "assert not {'torch', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not made.problems, made.problems[0]\n"
        "print(len({line.entry for line in made.lines}))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store"), str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "334"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10
