"""A protocol in words: the six questions that every follow-up paper had to ask. Free of torch and numpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.evaluation.judge_test import JudgeTest
from bench.evaluation.metric_table import EXTRACTORS, METRICS
from bench.evaluation.protocol import Protocol
from bench.evaluation.weights import get_weights

_NETWORKS: Mapping[str, str] = {
    "synthetic-judge": "this project's small network, trained on real synthetic scenes",
    "deeplabv2-resnet101-msc-cocostuff164k": "DeepLabV2 on ResNet101, multi-scale inside the network, 182 classes",
    "upernet101-csail": "UPerNet on ResNet101 with CSAIL's head, 150 classes",
    "drn-d-105": "DRN-D-105, 19 classes",
}
_COMBINED: Mapping[str, str] = {
    "logit-max": "the largest logit counts",
    "softmax-mean": "the mean of the softmax counts",
    "log-softmax-sum": "the sum of the log-softmax counts",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One of the six questions, answered by a protocol."""

    question: str
    answer: str
    guess: bool
    """Whether a guess of ours is in it."""


def six_answers(protocol: Protocol) -> tuple[Answer, ...]:
    """The six questions with their answers, in a fixed order."""
    questions: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("Which network?", _network(protocol), ("judge", "test.input_order", "test.combination", "mmseg")),
        ("Which weights?", _weights(protocol), ("judge_weights", "mmseg")),
        ("Fed at what size?", _size(protocol), ("image_resize", "test.short_sides", "test.scales")),
        ("How do labels come to size?", _labels(protocol), ("label_size",)),
        ("Which pixels are ignored?", _ignored(protocol), ("ignored", "paper_accuracy")),
        ("Compared with which images?", _reference(protocol), ("reference", "reference_resize", "metrics")),
    )
    guesses = set(protocol.guesses)
    return tuple(
        Answer(question=question, answer=answer, guess=bool(guesses & set(names)))
        for question, answer, names in questions
    )


def paper_comparison(protocol: Protocol) -> str:
    """Which of the paper's scores ours may stand beside, in a sentence; empty where none."""
    if not protocol.paper_accuracy:
        return ""
    fid = next((name for name in protocol.metrics if name.startswith("FID@")), None)
    return f"mIoU with mIoU, {protocol.paper_accuracy} with accu" + (f", {fid} with FID" if fid else "")


def _network(protocol: Protocol) -> str:
    if protocol.mmseg is not None:
        return f"{protocol.mmseg.config} of mmsegmentation, with the test pipeline of its config"
    if not protocol.judge:
        return "none: no label is looked at"
    name = _NETWORKS.get(protocol.judge, protocol.judge)
    test = protocol.test
    return name if test is None else f"{name}; {_input(test)}"


def _input(test: JudgeTest) -> str:
    scale = "0 to 255" if test.input_range == 255 else "0 to 1"
    spread = "" if test.input_std == (1.0, 1.0, 1.0) else f", divided by {_numbers(test.input_std)}"
    return f"{test.input_order}, {scale}, minus {_numbers(test.input_mean)}{spread}"


def _weights(protocol: Protocol) -> str:
    if protocol.mmseg is not None and protocol.mmseg.checkpoint:
        digest = protocol.mmseg.checkpoint_sha256
        known = "missing" if digest == "missing" else f"sha256 {digest[:12]}..."
        return f"{protocol.mmseg.checkpoint} ({known})"
    return ", ".join(get_weights(name).filename for name in protocol.judge_weights) or "none"


def _size(protocol: Protocol) -> str:
    if not protocol.judge:
        return "as generated"
    if protocol.subject == "real":
        fed = "the photograph at its own size"
    elif protocol.image_resize == "none":
        fed = "as generated"
    else:
        fed = f"enlarged to the label map's own size, {protocol.image_resize} (PIL)"
    return fed + (_looks(protocol.test) if protocol.test is not None else "")


def _looks(test: JudgeTest) -> str:
    combined = f", {_COMBINED[test.combination]}" if test.combination in _COMBINED else ""
    if test.short_sides:
        limit = f", long side at most {test.long_side_at_most}" if test.long_side_at_most else ""
        rounded = f", sides rounded up to a multiple of {test.side_multiple}" if test.side_multiple > 1 else ""
        sides = " and ".join(str(side) for side in test.short_sides)
        return f"; the judge takes its short side to {sides} px ({test.input_resize}{limit}{rounded}){combined}"
    if len(test.scales) > 1:
        return f"; the judge looks at {_numbers(test.scales)} times that size{combined}"
    return ""


def _labels(protocol: Protocol) -> str:
    if not protocol.judge:
        return "not at all"
    if protocol.label_size == "generated":
        return "by nearest (PIL) to the generated size, as for training"
    enlarged = "the judge's scores are enlarged to it" if protocol.image_resize == "none" else "the image comes to it"
    return "not at all: they keep their own size" + ("" if protocol.subject == "real" else f", {enlarged}")


def _ignored(protocol: Protocol) -> str:
    if not protocol.judge:
        return "none"
    both = {"accu@all", "accu@labelled"} <= set(protocol.metrics)
    text = protocol.ignored + ("; accu@all counts them as errors, accu@labelled leaves them out" if both else "")
    return text + (f"; the paper's accu stands beside {protocol.paper_accuracy}" if protocol.paper_accuracy else "")


def _reference(protocol: Protocol) -> str:
    features = [METRICS[name].features for name in protocol.metrics]
    used = list(dict.fromkeys(name for name in features if name is not None))
    if not used:
        return "none: this protocol has no distance"
    networks = "; ".join(f"@{name}: {EXTRACTORS[name].meaning.partition(':')[0]}" for name in used)
    return f"the real validation images of the same label maps, at the generated size (PIL bicubic). {networks}"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4g}" if value < 100 else f"{value:g}" for value in values)
