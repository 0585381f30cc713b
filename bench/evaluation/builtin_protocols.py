"""The protocols that come with the project. Free of torch and numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.evaluation.judge_test import UPERNET_CSAIL_TEST
from bench.evaluation.paper_protocols import (
    DEEPLAB_V2_TEST_2019,
    FOLLOWUPS_ADE20K,
    FOLLOWUPS_CITYSCAPES,
    FOLLOWUPS_COCO,
    FULLSIZE_ADE20K,
    FULLSIZE_CITYSCAPES,
    FULLSIZE_COCO,
    GAN_COMPRESSION_CITYSCAPES,
    PAPER_ADE20K,
    PAPER_ADE20K_BASELINE,
    PAPER_ADE20K_OUTDOOR,
    PAPER_CITYSCAPES,
    PAPER_COCO,
)
from bench.evaluation.protocol import ANY, MmsegJudge, Protocol
from bench.evaluation.protocol_parts import COMMON, FOLLOWERS_METRICS, SEGMENTATION, sources_of_test, variation


def _judge_check(
    base: Protocol, name: str, constant: str, expected: Mapping[str, float], where: str, **changes: Any
) -> Protocol:
    """``base`` on the photographs themselves; ``constant`` names the test procedure in ``judge_test``."""
    scores = ", ".join(f"{metric} {value:g}" for metric, value in expected.items())
    sources = {
        "judge_weights": f"{where}: the file with these scores",
        "image_resize": f"{where}: photographs at their own size",
        "label_size": f"{where}: label maps as they are",
        "subject": "this project: is the judge the published one?",
        "metrics": f"{where}: {scores}",
        "paper_accuracy": f"{where}: over labelled pixels",
        **sources_of_test(constant),
        **({"test.scale_step": "its scores were made with torch until 1.5"} if constant == "DEEPLAB_V2_TEST" else {}),
    }
    return variation(
        base,
        name=name,
        summary=f"does the judge give its published scores on real images ({scores})?",
        image_resize="none",
        label_size="native",
        subject="real",
        metrics=SEGMENTATION,
        paper_accuracy="",
        expected=dict(expected),
        sources=sources,
        **changes,
    )


JUDGE_CHECK_COCO = _judge_check(
    PAPER_COCO,
    "judge-check-coco",
    "DEEPLAB_V2_TEST",
    {"mIoU": 39.1, "accu@labelled": 66.8},
    "kazuto1011/deeplab-pytorch README, COCO-Stuff 164k val without CRF",
    test=DEEPLAB_V2_TEST_2019,
)
JUDGE_CHECK_ADE20K = _judge_check(
    PAPER_ADE20K,
    "judge-check-ade20k",
    "UPERNET_CSAIL_TEST",
    {"mIoU": 42.66, "accu@labelled": 81.01},
    "CSAILVision/semantic-segmentation-pytorch README, UPerNet101, multi-scale",
    test=UPERNET_CSAIL_TEST,
)
JUDGE_CHECK_CITYSCAPES = _judge_check(
    PAPER_CITYSCAPES, "judge-check-cityscapes", "DRN_TEST", {"mIoU": 75.6}, "fyu/drn README, DRN-D-105, Cityscapes val"
)

SYNTHETIC = Protocol(
    name="synthetic",
    version=2,
    dataset="synthetic",
    summary="the embedded world, judged by the small network shipped with this project",
    judge="synthetic-judge",
    judge_weights=("synthetic-judge",),
    label_mapping="scored-classes",
    ignored="none: every pixel of a synthetic scene has a class",
    class_mean="present",
    metrics=(*SEGMENTATION, "FD@synthetic-judge", "FD@efficientnet-lite0", "FID@tf"),
    sources={
        **COMMON,
        "dataset": "this project: procedural scenes",
        "judge": "this project: trained on real synthetic pairs (bench/evaluation/judges)",
        "judge_weights": "this project: shipped with its sha256",
        "label_mapping": "this project: the judge was trained on the scene's classes, in their order",
        "image_resize": "this project: fed as generated",
        "label_size": "this project: scenes are made at the judged size",
        "ignored": "this project",
        "class_mean": "this project: a class without a ground-truth pixel does not count",
        "reference": "paper section 4: real validation images",
        "reference_resize": "this project: scenes are made at the generated size",
        "metrics": "paper section 4: mIoU, accuracy, FID; FD names its features, since they are no Inception's",
    },
)
DISTANCES = Protocol(
    name="distances",
    version=1,
    dataset=ANY,
    summary="distances between generated and real images alone: for photographs and users' data sets without a judge",
    metrics=("FID@tf", "KID@tf", "FD@efficientnet-lite0"),
    sources={
        **COMMON,
        "dataset": "this project: no label is looked at",
        "reference": "paper section 4: real validation images",
        "metrics": "FID: the papers of the field; KID: Binkowski et al. 2018; the third needs no download",
    },
)


def _second_judge(base: Protocol, name: str, config: str, weights: str, mapping: str, score: float) -> Protocol:
    """``base`` with a network of mmsegmentation in the judge's place; its own test pipeline and average go with it."""
    metafile = f"mmsegmentation {config.partition('_')[0]}/metafile.yaml"
    return variation(
        base,
        name=name,
        summary=f"a second judge: {config} of mmsegmentation (mIoU {score:g} on real images)",
        judge="mmseg",
        judge_weights=(weights,),
        test=None,
        mmseg=MmsegJudge(config_name=config),
        label_mapping=mapping,
        class_mean="union",
        paper_accuracy="",
        metrics=FOLLOWERS_METRICS,
        sources={
            "judge": f"{metafile}: mIoU {score:g} on the validation images; not the paper's judge",
            "judge_weights": f"{metafile}: address and digits of the sha256",
            "test": "the config's test_pipeline",
            "mmseg": f"{metafile}: its config tells network, input and sizes",
            "label_mapping": "mmsegmentation's class list of the data set",
            "class_mean": "mmsegmentation IoUMetric: nanmean",
            "paper_accuracy": "none: the paper has no score of this judge",
            "metrics": "this project: as the followers'",
        },
    )


MMSEG_COCO = _second_judge(
    FOLLOWUPS_COCO,
    "mmseg-coco",
    "deeplabv3_r101-d8_4xb4-320k_coco-stuff164k-512x512",
    "mmseg-deeplabv3-r101-cocostuff164k",
    "coco-171",
    42.61,
)
MMSEG_ADE20K = _second_judge(
    FOLLOWUPS_ADE20K,
    "mmseg-ade20k",
    "deeplabv3plus_r101-d8_4xb4-160k_ade20k-512x512",
    "mmseg-deeplabv3plus-r101-ade20k",
    "ade20k-150",
    45.47,
)
MMSEG_CITYSCAPES = _second_judge(
    FOLLOWUPS_CITYSCAPES,
    "mmseg-cityscapes",
    "deeplabv3plus_r101-d8_4xb2-80k_cityscapes-512x1024",
    "mmseg-deeplabv3plus-r101-cityscapes",
    "cityscapes-19",
    80.97,
)

BUILTIN: tuple[Protocol, ...] = (
    SYNTHETIC,
    PAPER_COCO,
    PAPER_ADE20K,
    PAPER_ADE20K_BASELINE,
    PAPER_ADE20K_OUTDOOR,
    PAPER_CITYSCAPES,
    FOLLOWUPS_COCO,
    FOLLOWUPS_ADE20K,
    FOLLOWUPS_CITYSCAPES,
    FULLSIZE_COCO,
    FULLSIZE_ADE20K,
    FULLSIZE_CITYSCAPES,
    GAN_COMPRESSION_CITYSCAPES,
    JUDGE_CHECK_COCO,
    JUDGE_CHECK_ADE20K,
    JUDGE_CHECK_CITYSCAPES,
    MMSEG_COCO,
    MMSEG_ADE20K,
    MMSEG_CITYSCAPES,
    DISTANCES,
)
"""In the order of ``list protocols``; the first that judges a data set is its default."""
