"""What `evaluate` prints: our scores beside the upper bound, the published ones and the paper's."""

from __future__ import annotations

from dataclasses import replace

from bench.reporting.judged import judged_lines, score_text, time_lines
from bench.run_spec import DatasetRef
from bench.store import Evaluation, EvaluationSpec, Score


def evaluation(dataset: str, protocol: str, scores: dict[str, float | None], **changes: object) -> Evaluation:
    ref = DatasetRef(name=dataset, size=(256, 256), manifest="")
    spec = EvaluationSpec(subject="x", run_id=None, protocol=protocol, protocol_sha256="", dataset=ref)
    kept = {name: Score(value=value, reason="" if value is not None else "no file") for name, value in scores.items()}
    found = Evaluation(
        eval_id="e", spec=spec, images=10, step=None, scores=kept, class_iou={}, class_pixels={}, seconds=4.0
    )
    return replace(found, **changes)  # type: ignore[arg-type]


CITYSCAPES = {"mIoU": 61.0, "accu@all": 80.0, "accu@labelled": 93.0, "FID@tv2019": None, "FID@tf": 63.0, "KID@tf": 1.5}


def test_each_score_stands_beside_its_own_cell_of_the_paper() -> None:
    found = evaluation("cityscapes", "paper2019-cityscapes@1", CITYSCAPES)
    bound = evaluation("cityscapes", "paper2019-cityscapes@1", dict.fromkeys(CITYSCAPES, 70.0))
    rows, notes = judged_lines(found, bound, "spade")
    assert rows[0] == {
        "metric": "mIoU",
        "value": "61.0 %",
        "real images": "70.0 %",
        "paper": "62.3 (Table 1, SPADE (Ours))",
        "difference": "-1.3",
    }
    by_metric = {row["metric"]: row for row in rows}
    assert (by_metric["accu@all"]["paper"][:4], by_metric["accu@all"]["difference"]) == ("81.9", "-1.9")
    assert by_metric["accu@labelled"]["paper"] == by_metric["accu@labelled"]["difference"] == ""
    assert (by_metric["FID@tv2019"]["value"], by_metric["FID@tv2019"]["difference"]) == ("n/a (no file)", "")
    assert by_metric["FID@tf"]["difference"] == "-8.8"
    assert by_metric["KID@tf"]["value"] == "1.50 ×10³"
    assert len(notes) == 3
    assert "N = 10, and the official validation split has 500 images" in notes[-1]
    whole, bound_alike = replace(found, images=500), replace(bound, scores=found.scores)
    rows, notes = judged_lines(whole, bound_alike, "spade")
    assert len(notes) == 2
    assert (rows[3]["value"], rows[3]["real images"]) == ("n/a (no file)", "n/a")


def test_the_accuracy_of_the_other_data_sets_is_that_over_labelled_pixels() -> None:
    rows, _ = judged_lines(evaluation("coco_stuff", "paper2019-coco@1", CITYSCAPES), None, "spade-decoder")
    by_metric = {row["metric"]: row for row in rows}
    assert by_metric["accu@labelled"]["paper"].startswith("67.9")
    assert by_metric["accu@all"]["paper"] == ""
    assert "real images" not in rows[0]


def test_without_a_variant_there_is_no_row_of_the_paper() -> None:
    rows, notes = judged_lines(evaluation("coco_stuff", "paper2019-coco@1", CITYSCAPES), None, None)
    assert set(rows[0]) == {"metric", "value"}
    assert notes == []


def test_a_judges_check_stands_beside_its_published_scores() -> None:
    found = evaluation("coco_stuff", "judge-check-coco@1", {"mIoU": 39.0, "accu@all": 60.0, "accu@labelled": 66.9})
    rows, _ = judged_lines(found, found, None)
    assert [row["published"] for row in rows] == ["39.1", "", "66.8"]


def test_the_time_goes_by_stage_longest_first() -> None:
    found = evaluation("coco_stuff", "paper2019-coco@1", CITYSCAPES, stage_seconds={"read": 1.0, "judge": 2.5})
    assert time_lines(found) == [
        "time: 4.0 s, 400 ms an image",
        "  judge                            2.50 s    62 %  250 ms an image",
        "  read                             1.00 s    25 %  100 ms an image",
        "  other                            0.50 s    12 %  50 ms an image",
    ]
    assert time_lines(replace(found, stage_seconds={})) == []


def test_small_scores_keep_their_digits() -> None:
    assert score_text("LPIPS@alex", Score(value=0.1234)) == "0.123"
    assert score_text("FID@tf", Score(value=22.6)) == "22.60"
