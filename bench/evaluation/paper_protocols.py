"""The paper's protocols, as near as is known, and the other ways in which its scores were repeated.

Facts are cited where they stand; ``NVlabs/SPADE#39`` is an issue of that repository. Nobody released the paper's
evaluation code (#14), so what is a guess is said to be one, and the other reading is a protocol of its own.
"""

from __future__ import annotations

from dataclasses import replace

from bench.evaluation.judge_test import (
    DEEPLAB_V2_TEST,
    DRN_TEST,
    UPERNET_CSAIL_BASELINE_TEST,
    UPERNET_CSAIL_SINGLE_TEST,
    UPERNET_CSAIL_TEST,
)
from bench.evaluation.protocol import GUESS, Protocol
from bench.evaluation.protocol_parts import COMMON, FOLLOWERS_METRICS, PAPER_METRICS, sources_of_test, variation

_GENERATED_SIZE = (
    f"{GUESS}: NVlabs/SPADE#100 repeats an answer of the authors in #39: the label maps come down to the generated "
    "size ('bilinear' there, which ids do not allow); the other reading is fullsize-"
)
_PAPER_FID = (
    f"paper section 4: mIoU, accuracy, FID. {GUESS}: FID@tv2019 is the paper's, since pytorch-fid (NVlabs/SPADE#14: "
    "'pretty much out of the box') loaded torchvision's weights until 27 May 2019; FID@tf is today's. KID: this project"
)


def _paper_sources(dataset: str) -> dict[str, str]:
    """Sources of what the protocols ``paper2019-*`` share."""
    return {
        **COMMON,
        "image_resize": _GENERATED_SIZE + dataset,
        "label_size": _GENERATED_SIZE + dataset,
        "metrics": f"{GUESS} in one point: {_PAPER_FID.replace(GUESS + ': ', '')}",
    }


PAPER_COCO = Protocol(
    name="paper2019-coco",
    version=1,
    dataset="coco_stuff",
    summary="COCO-Stuff as the paper most likely scored it: DeepLabV2 at the generated size",
    judge="deeplabv2-resnet101-msc-cocostuff164k",
    judge_weights=("deeplabv2-cocostuff164k",),
    test=DEEPLAB_V2_TEST,
    label_mapping="coco-182",
    ignored="don't care (255 in the files, id 182 here)",
    class_mean="present",
    paper_accuracy="accu@labelled",
    metrics=PAPER_METRICS,
    sources={
        **_paper_sources("coco"),
        **sources_of_test("DEEPLAB_V2_TEST"),
        "judge": "paper section 4 names DeepLabV2; code and file: NVlabs/SPADE#39",
        "judge_weights": "NVlabs/SPADE#39; kazuto1011/deeplab-pytorch README: unchanged since 2019-02-23, for "
        "followers of SPADE",
        "label_mapping": "deeplab-pytorch: a label id is a class",
        "ignored": "deeplab-pytorch: 255 is ignored",
        "class_mean": "deeplab-pytorch libs/utils/metric.py: classes with a ground-truth pixel",
        "paper_accuracy": f"{GUESS}: as deeplab-pytorch counts; the paper does not say",
    },
)
PAPER_ADE20K = Protocol(
    name="paper2019-ade20k",
    version=1,
    dataset="ade20k",
    summary="ADE20K as the paper most likely scored it: UPerNet101 on one scale, labels at the generated size",
    judge="upernet101-csail",
    judge_weights=("upernet101-encoder-ade20k", "upernet101-decoder-ade20k"),
    test=UPERNET_CSAIL_SINGLE_TEST,
    label_mapping="ade20k-150",
    ignored="0 (unknown)",
    class_mean="all",
    paper_accuracy="accu@labelled",
    metrics=PAPER_METRICS,
    sources={
        **_paper_sources("ade20k"),
        **sources_of_test(
            "UPERNET_CSAIL_SINGLE_TEST",
            short_sides=f"{GUESS}: 450 alone, the default of eval.py and the README's command for UPerNet101 until "
            "August 2019; five sizes: followups-ade20k",
        ),
        "judge": "paper section 4 names UperNet101; code: NVlabs/SPADE#39",
        "judge_weights": f"{GUESS}: today's files, converted from the ones of NVlabs/SPADE#39 for RGB input "
        "(semantic-segmentation-pytorch#190); those themselves: paper2019-ade20k-baseline",
        "label_mapping": "semantic-segmentation-pytorch dataset.py: label - 1",
        "ignored": "semantic-segmentation-pytorch dataset.py: 0 becomes -1, which is ignored",
        "class_mean": "semantic-segmentation-pytorch eval.py: all 150, those without a pixel as 0",
        "paper_accuracy": f"{GUESS}: as semantic-segmentation-pytorch counts; the paper does not say",
    },
)
PAPER_ADE20K_BASELINE = variation(
    PAPER_ADE20K,
    name="paper2019-ade20k-baseline",
    summary="paper2019-ade20k with the UPerNet101 files of 2018 that NVlabs/SPADE#39 names (input BGR)",
    judge_weights=("upernet101-baseline-encoder-ade20k", "upernet101-baseline-decoder-ade20k"),
    test=UPERNET_CSAIL_BASELINE_TEST,
    sources={
        **sources_of_test(
            "UPERNET_CSAIL_BASELINE_TEST",
            short_sides=f"{GUESS}: 450 alone, the default of eval.py and the README's command for UPerNet101",
        ),
        "judge_weights": "NVlabs/SPADE#39 names the folder baseline-resnet101-upernet; later authors cite it too",
    },
)
PAPER_ADE20K_OUTDOOR = variation(
    PAPER_ADE20K,
    name="paper2019-ade20k-outdoor",
    dataset="ade20k_outdoor",
    summary="paper2019-ade20k on outdoor scenes; which scenes the paper took is not known",
    sources={
        "dataset": f"{GUESS}: no list of the paper's scenes is public (OASIS#23); see `show dataset ade20k_outdoor`"
    },
)
PAPER_CITYSCAPES = Protocol(
    name="paper2019-cityscapes",
    version=1,
    dataset="cityscapes",
    summary="Cityscapes as the paper most likely scored it: DRN-D-105 at 512x256, labels at that size",
    judge="drn-d-105",
    judge_weights=("drn-d-105-cityscapes",),
    test=DRN_TEST,
    label_mapping="cityscapes-19",
    ignored="the 16 of 35 label ids that have no train id",
    class_mean="union",
    paper_accuracy="accu@all",
    metrics=PAPER_METRICS,
    sources={
        **_paper_sources("cityscapes"),
        **sources_of_test(
            "DRN_TEST",
            scales=f"{GUESS}: one scale; CLADE#3 has its numbers without --ms, which fails in the published code",
        ),
        "judge": "paper section 4 names DRN-D-105; code and file: NVlabs/SPADE#39",
        "judge_weights": "NVlabs/SPADE#39; later authors name the same file (CLADE#3)",
        "label_mapping": "fyu/drn README: label maps of train ids",
        "ignored": "fyu/drn README: 255 is ignored in training and evaluation",
        "class_mean": "fyu/drn segment.py: nanmean over classes with ground truth or predictions",
        "paper_accuracy": "TSIT#1: unlabelled pixels count as errors in such numbers (81.9 in the paper, 93.5 "
        "without them: NVlabs/SPADE#100, SMIS#6)",
    },
)

_FOLLOWERS_FID = "papers of the followers; FID by pytorch-fid as it is since 27 May 2019. KID: this project"
FOLLOWUPS_COCO = variation(
    PAPER_COCO,
    name="followups-coco",
    summary="COCO-Stuff as CC-FPSE, OASIS and CLADE score it: generated size, nearest labels, today's FID",
    metrics=FOLLOWERS_METRICS,
    sources={
        "image_resize": "CC-FPSE#4: the 256x256 image as it is",
        "label_size": "CC-FPSE#4: nearest to 256x256",
        "metrics": _FOLLOWERS_FID,
        "paper_accuracy": "CC-FPSE#4 compares with deeplab-pytorch's own accuracy",
    },
)
FOLLOWUPS_ADE20K = variation(
    PAPER_ADE20K,
    name="followups-ade20k",
    summary="ADE20K as followers score it: UPerNet101 at its five sizes, nearest labels, today's FID",
    test=UPERNET_CSAIL_TEST,
    metrics=FOLLOWERS_METRICS,
    sources={
        **sources_of_test(
            "UPERNET_CSAIL_TEST",
            short_sides="FreestyleNet#3: the config as it is, five sizes; OASIS and CLADE do not say (a user who fed "
            "256 px only got 42.76 for OASIS' images, OASIS#17)",
        ),
        "judge_weights": "FreestyleNet#3 and OASIS#17: ade20k-resnet101-upernet, epoch 50",
        "image_resize": "OASIS#17: the 256x256 image; the judge itself enlarges it to its sizes",
        "label_size": f"{GUESS}: as for Cityscapes (OASIS#5, CLADE#3); the user of OASIS#17 did so",
        "metrics": _FOLLOWERS_FID,
        "paper_accuracy": "SMIS#6: unlabelled pixels are left out",
    },
)
FOLLOWUPS_CITYSCAPES = variation(
    PAPER_CITYSCAPES,
    name="followups-cityscapes",
    summary="Cityscapes as OASIS and CLADE score it: 512x256, nearest labels, unlabelled pixels left out",
    metrics=FOLLOWERS_METRICS,
    paper_accuracy="accu@labelled",
    sources={
        "image_resize": "OASIS#5, CLADE#3: 512x256 as generated",
        "label_size": "OASIS#5: nearest to 512x256; CLADE#3 the like",
        "metrics": _FOLLOWERS_FID,
        "paper_accuracy": "SMIS#6, TSIT#1: those who get 93.5 leave unlabelled pixels out",
        "test.scales": "CLADE#3: without --ms",
    },
)

DEEPLAB_V2_TEST_2019 = replace(DEEPLAB_V2_TEST, scale_step="size-ratio")
"""As torch until 1.5 did it, with which DeepLabV2's scores and GAN Compression's were made; equal at 256 px."""
_ENLARGED = "the other reading of NVlabs/SPADE#39 and #100: the labels stay, the image is enlarged"
FULLSIZE_COCO = variation(
    PAPER_COCO,
    name="fullsize-coco",
    summary="COCO-Stuff at the label maps' own size: images enlarged, as GAN Compression does",
    test=DEEPLAB_V2_TEST_2019,
    image_resize="bicubic",
    label_size="native",
    sources={
        **sources_of_test("DEEPLAB_V2_TEST", scale_step="mit-han-lab/gan-compression ran on torch 1.4"),
        "image_resize": "mit-han-lab/gan-compression metric/coco_scores.py: bicubic to the label map's size",
        "label_size": "mit-han-lab/gan-compression metric/coco_scores.py: the files' own",
    },
)
FULLSIZE_ADE20K = variation(
    PAPER_ADE20K,
    name="fullsize-ade20k",
    summary="ADE20K at the label maps' own size: images enlarged before the judge takes them to its sizes",
    test=UPERNET_CSAIL_TEST,
    image_resize="bicubic",
    label_size="native",
    sources={
        **sources_of_test("UPERNET_CSAIL_TEST"),
        "image_resize": f"{GUESS}: bicubic, as GAN Compression does for COCO-Stuff; {_ENLARGED}",
        "label_size": f"semantic-segmentation-pytorch eval.py: the files' own; {_ENLARGED}",
    },
)
FULLSIZE_CITYSCAPES = variation(
    PAPER_CITYSCAPES,
    name="fullsize-cityscapes",
    summary="Cityscapes at 2048x1024: images enlarged, as a user who found the paper's mIoU did",
    image_resize="bicubic",
    label_size="native",
    sources={
        "image_resize": f"{GUESS}: bicubic; OASIS#18 reproduces the paper's mIoU by enlarging, not saying how",
        "label_size": "OASIS#18: 2048x1024, as published",
    },
)
GAN_COMPRESSION_CITYSCAPES = variation(
    PAPER_CITYSCAPES,
    name="gan-compression-cityscapes",
    summary="Cityscapes as GAN Compression scores it: the judge sees 512x256, its scores are enlarged to 2048x1024",
    label_size="native",
    metrics=FOLLOWERS_METRICS,
    sources={
        "image_resize": "mit-han-lab/gan-compression metric/cityscapes_mIoU.py: fed as generated",
        "label_size": "mit-han-lab/gan-compression metric/cityscapes_mIoU.py: the files' own",
        "metrics": "mit-han-lab/gan-compression README: FID to the real test images, mIoU. The others: this project",
    },
)
