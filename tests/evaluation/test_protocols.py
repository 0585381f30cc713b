"""Protocols: every field has a source, no meaning changes without a version, and the page says it in words."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from bench.evaluation.judge_test import DEEPLAB_V2_TEST, DRN_TEST, UPERNET_CSAIL_BASELINE_TEST, JudgeTest
from bench.evaluation.label_mappings import mapping_for
from bench.evaluation.protocol import GUESS, MmsegJudge, Protocol
from bench.evaluation.protocol_parts import variation
from bench.evaluation.protocol_words import paper_comparison, six_answers
from bench.evaluation.protocols import PAPER_COCO, SYNTHETIC, get_protocol, list_protocols, protocol_for
from bench.evaluation.weights import get_weights
from bench.plain import content_hash, from_plain, to_plain
from bench.reporting.reproductions import reproductions

FACTS = Path(__file__).resolve().parents[1] / "facts"
HASHES = FACTS / "protocol_hashes.json"
PROTOCOLS = list_protocols()
each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda item: item.key)
PAPER = ["paper2019-coco", "paper2019-ade20k", "paper2019-ade20k-outdoor", "paper2019-cityscapes"]


def test_no_meaning_changes_without_a_new_version() -> None:
    """A score says by which protocol it was made; the same name must mean the same for ever."""
    frozen: dict[str, str] = json.loads(HASHES.read_text(encoding="utf-8"))
    now = {protocol.key: content_hash(protocol) for protocol in PROTOCOLS}
    changed = sorted(key for key in now if key in frozen and frozen[key] != now[key])
    assert not changed, (
        f"{', '.join(changed)}: the meaning changed, the version did not. Raise `version` where the protocol is "
        f"defined (a change of sources, summary or expected scores alone would not show here), then add its new hash "
        f"to {HASHES}; keep the old line: scores of the old version exist"
    )
    added = {key: now[key] for key in sorted(now.keys() - frozen.keys())}
    assert not added, f"new protocols: add these lines to {HASHES}:\n{json.dumps(added, indent=2)}"
    current = {protocol.name for protocol in PROTOCOLS}
    gone = sorted(key for key in frozen if key.partition("@")[0] not in current)
    assert not gone, f"{', '.join(gone)}: scores name these protocols; do not remove them"


def test_words_alone_do_not_change_an_identity() -> None:
    same = replace(PAPER_COCO, summary="other words", sources=dict.fromkeys(PAPER_COCO.sources, "elsewhere"))
    assert content_hash(same) == content_hash(PAPER_COCO)
    check = get_protocol("judge-check-coco")
    assert content_hash(replace(check, expected={})) == content_hash(check)


@pytest.mark.parametrize(
    "change",
    [
        {"image_resize": "bicubic", "label_size": "native"},
        {"class_mean": "all"},
        {"paper_accuracy": "accu@all"},
        {"metrics": (*PAPER_COCO.metrics, "LPIPS@alex")},
        {"test": replace(DEEPLAB_V2_TEST, scale_step="size-ratio")},
        {"conditioning": "sampled"},
        {"label_mapping": "coco-171"},
    ],
    ids=lambda change: ", ".join(change),
)
def test_every_change_of_meaning_changes_the_identity(change: dict[str, object]) -> None:
    assert content_hash(replace(PAPER_COCO, **change)) != content_hash(PAPER_COCO)  # type: ignore[arg-type]


@each_protocol
def test_every_field_has_a_source_and_guesses_are_marked(protocol: Protocol) -> None:
    rows = protocol.explained()
    assert [row.field for row in rows if not row.source.strip()] == []
    assert [row.field for row in rows if row.guess != row.source.startswith(GUESS)] == []
    assert all(GUESS in row.source[: len(GUESS)] for row in rows if GUESS in row.source), "a guess inside a source"
    shown = {row.field for row in rows}
    assert {"dataset", "metrics", "subject"} <= shown
    if protocol.test is not None:
        assert {f"test.{item.name}" for item in fields(JudgeTest)} <= shown
    assert ("judge" in shown) == bool(protocol.judge)
    assert ("reference" in shown) == any("@" in name and not name.startswith("accu") for name in protocol.metrics)


@each_protocol
def test_weights_are_in_the_table(protocol: Protocol) -> None:
    assert [get_weights(name).name for name in protocol.weights_files] == list(protocol.weights_files)
    assert set(protocol.judge_weights) <= set(protocol.weights_files)


@each_protocol
def test_a_protocol_survives_json(protocol: Protocol) -> None:
    assert from_plain(Protocol, json.loads(json.dumps(to_plain(protocol)))) == protocol


@each_protocol
def test_six_questions_are_answered(protocol: Protocol) -> None:
    answers = six_answers(protocol)
    assert len(answers) == 6
    assert all(item.question.endswith("?") and item.answer for item in answers)
    assert any(item.guess for item in answers) <= bool(protocol.guesses)


def test_the_paper_is_scored_as_is_most_likely() -> None:
    coco, ade20k, outdoor, cityscapes = (get_protocol(name) for name in PAPER)
    assert [item.paper_accuracy for item in (coco, ade20k, cityscapes)] == ["accu@labelled"] * 2 + ["accu@all"]
    assert [item.class_mean for item in (coco, ade20k, cityscapes)] == ["present", "all", "union"]
    assert (coco.test, cityscapes.test) == (DEEPLAB_V2_TEST, DRN_TEST)
    assert ade20k.test is not None
    assert ade20k.test.short_sides == (450,)
    assert get_protocol("paper2019-ade20k-baseline").test == UPERNET_CSAIL_BASELINE_TEST
    assert replace(outdoor, name="x", dataset="x", summary="x", sources=ade20k.sources) == replace(
        ade20k, name="x", dataset="x", summary="x"
    )
    for item in (coco, ade20k, cityscapes):
        assert {"accu@all", "accu@labelled", "FID@tv2019", "FID@tf", "KID@tf"} <= set(item.metrics)
        assert (item.image_resize, item.label_size) == ("none", "generated")
        assert {"image_resize", "label_size", "reference_resize"} <= set(item.guesses)
        assert any(f"fullsize-{item.name.partition('-')[2]}" in text for text in item.sources.values())


def test_the_other_readings() -> None:
    for name in ("coco", "ade20k", "cityscapes"):
        full, check = get_protocol(f"fullsize-{name}"), get_protocol(f"judge-check-{name}")
        followers, second = get_protocol(f"followups-{name}"), get_protocol(f"mmseg-{name}")
        assert (full.image_resize, full.label_size, full.subject) == ("bicubic", "native", "any")
        assert (check.image_resize, check.label_size, check.subject) == ("none", "native", "real")
        assert check.expected.keys() <= set(check.metrics)
        assert (followers.image_resize, followers.label_size) == ("none", "generated")
        assert "FID@tv2019" not in followers.metrics
        assert (second.judge, second.test) == ("mmseg", None)
        assert len({content_hash(item) for item in (full, check, followers, second)}) == 4
    shown = get_protocol("gan-compression-cityscapes")
    assert (shown.image_resize, shown.label_size) == ("none", "native")


def test_published_scores_of_a_judge_are_those_of_its_repository() -> None:
    """Two of them against the facts that were gathered apart from the protocols."""
    told = {line[1]: " ".join(line) for line in facts() if line[1].startswith("real images")}
    assert get_protocol("judge-check-coco").expected == {"mIoU": 39.1, "accu@labelled": 66.8}
    assert "39.1 66.8" in told["real images"]
    assert get_protocol("judge-check-ade20k").expected == {"mIoU": 42.66, "accu@labelled": 81.01}
    assert "42.66/81.01 multi-scale" in told["real images UperNet101"]
    assert get_protocol("judge-check-cityscapes").expected == {"mIoU": 75.6}


def facts() -> list[list[str]]:
    with (FACTS / "reported_reproductions.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_mmsegmentation_knows_config_address_and_score() -> None:
    """Each built-in second judge is one entry of the metafiles that come with mmsegmentation."""
    import yaml

    from bench.evaluation.mmseg_configs import find_config, installed_configs

    for name in ("mmseg-coco", "mmseg-ade20k", "mmseg-cityscapes"):
        protocol = get_protocol(name)
        assert protocol.mmseg is not None
        config = find_config(protocol.mmseg.config, Path())
        models = yaml.safe_load((config.parent / "metafile.yaml").read_text())["Models"]
        entry = get_weights(protocol.judge_weights[0])
        found = [model for model in models if model["Weights"] == entry.address]
        assert [model["Config"] for model in found] == [f"configs/{config.relative_to(installed_configs())}"]
        assert f"mIoU {found[0]['Results']['Metrics']['mIoU']:g}" in protocol.summary
        assert entry.filename == entry.address.rpartition("/")[2]
        assert re.search(r"-([0-9a-f]{8})\.pth$", entry.filename).group(1) == entry.sha256_prefix  # type: ignore[union-attr]


def test_the_default_of_a_data_set() -> None:
    defaults = {name: protocol_for(name).name for name in ("coco_stuff", "ade20k", "ade20k_outdoor", "cityscapes")}
    assert list(defaults.values()) == PAPER
    assert protocol_for("synthetic") is SYNTHETIC
    assert protocol_for("photographs").name == protocol_for("my_streets").name == "distances"
    assert protocol_for("coco_stuff", "followups-coco@1").name == "followups-coco"
    assert protocol_for("cityscapes", "distances").name == "distances"
    with pytest.raises(
        ValueError, match=r"paper2019-coco@1 judges coco_stuff, not cityscapes; for cityscapes there are:"
    ):
        protocol_for("cityscapes", "paper2019-coco")


def test_protocols_are_named_with_their_version() -> None:
    assert get_protocol("synthetic") is get_protocol("synthetic@2") is SYNTHETIC
    with pytest.raises(
        ValueError, match=r"no protocol is called 'synthetic@9'; known are: synthetic@2, paper2019-coco@1"
    ):
        get_protocol("synthetic@9")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Big"}, "name='Big', expected a letter a to z"),
        ({"version": 0}, "version=0, expected 1 or more"),
        ({"summary": ""}, "summary is empty"),
        ({"metrics": ("mIoU", "PSNR")}, "metrics: no metric is called PSNR; known are: mIoU, "),
        ({"metrics": ("mIoU", "mIoU")}, "expected at least one, none twice"),
        ({"metrics": ("FID@tf",), "paper_accuracy": ""}, "mIoU and accuracies need one, and only they"),
        ({"judge_weights": ("deeplab",)}, "no weights file is called 'deeplab'; known are: synthetic-judge, vgg19"),
        ({"label_mapping": "coco"}, "label_mapping='coco', known are: coco-182, "),
        ({"dataset": "any"}, "a judge's classes belong to one data set"),
        ({"ignored": ""}, "say which pixels count as unlabelled"),
        ({"test": None}, "judge='deeplabv2-resnet101-msc-cocostuff164k' with test=None"),
        ({"mmseg": MmsegJudge(config_name="x")}, "'mmseg' and the field mmseg go together"),
        ({"image_resize": "bicubic"}, "image_resize='bicubic' with label_size='generated'"),
        ({"image_resize": "nearest"}, "image_resize='nearest', allowed are: 'none', 'bilinear', 'bicubic'"),
        ({"class_mean": "mean"}, "class_mean='mean', allowed are: 'present', 'all', 'union'"),
        ({"paper_accuracy": "accu@all", "metrics": ("mIoU",)}, "paper_accuracy='accu@all' is not among the metrics"),
        ({"subject": "real"}, "subject='real' needs label_size='native'"),
        ({"expected": {"mIoU": 3.0}}, "expected scores need subject='real'"),
        ({"sources": {}}, "no source for dataset, judge, judge_weights, test.input_order"),
        ({"sources": {**PAPER_COCO.sources, "colour": "x"}}, "sources for unknown fields colour"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else None,
)
def test_what_cannot_be_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match="cannot be: ") as told:
        replace(PAPER_COCO, **change)  # type: ignore[arg-type]
    assert words in str(told.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"protocol 'paper2019-coco' cannot be: version=0.*; summary is empty; metrics"
    ):
        replace(PAPER_COCO, version=0, summary="", metrics=())


def test_a_variation_needs_a_source_for_what_it_changes() -> None:
    with pytest.raises(AssertionError, match="changed without a source: class_mean"):
        variation(PAPER_COCO, class_mean="all", sources={})
    varied = variation(PAPER_COCO, class_mean="all", sources={"class_mean": "here"})
    assert [row.source for row in varied.explained() if row.field == "class_mean"] == ["here"]
    judged = variation(PAPER_COCO, test=DRN_TEST, sources={"test": "elsewhere"})
    assert {row.source for row in judged.explained() if row.field.startswith("test.")} == {"elsewhere"}


def test_the_questions_in_words() -> None:
    def words(name: str) -> str:
        return " | ".join(item.answer for item in six_answers(get_protocol(name)))

    assert "BGR, 0 to 255, minus 104.008" in words("paper2019-coco")
    assert "0.75, 0.5 times that size, the largest logit counts" in words("paper2019-coco")
    assert "by nearest (PIL) to the generated size" in words("paper2019-coco")
    assert "short side to 300 and 375 and 450 and 525 and 600 px" in words("followups-ade20k")
    assert "enlarged to the label map's own size, bicubic" in words("fullsize-cityscapes")
    assert "the judge's scores are enlarged to it" in words("gan-compression-cityscapes")
    assert "the photograph at its own size" in words("judge-check-ade20k")
    assert "none: this protocol has no distance" in words("judge-check-ade20k")
    assert "none: no label is looked at" in words("distances")
    assert paper_comparison(get_protocol("paper2019-cityscapes")) == (
        "mIoU with mIoU, accu@all with accu, FID@tv2019 with FID"
    )
    assert paper_comparison(SYNTHETIC) == ""


def test_reproductions_are_the_gathered_facts() -> None:
    shown = [line for name in ("COCO-Stuff", "ADE20K", "Cityscapes") for line in reproductions(name)]
    ours = {(line.who, line.model, line.dataset, line.mIoU, line.accu, line.FID, line.source) for line in shown}
    assert ours == {(*line[:6], line[7]) for line in facts()[1:]}
    named = {line.protocol for line in shown} - {""}
    assert named <= {protocol.name for protocol in PROTOCOLS}


def test_a_wrong_table_of_reproductions_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("who,what\n")
    with pytest.raises(ValueError, match=r"r.csv: the header is \['who', 'what'\]; it must be who,model,dataset"):
        reproductions("ADE20K", tmp_path / "r.csv")


def test_a_protocol_without_a_judge_maps_no_labels() -> None:
    with pytest.raises(ValueError, match="distances@1 has no judge, so it maps no label ids"):
        mapping_for(get_protocol("distances"), None)  # type: ignore[arg-type]
