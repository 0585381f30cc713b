"""Evaluation protocols: frozen, versioned answers to every question about how a number was made. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

LabelResize = Literal["none", "nearest"]
ImageResize = Literal["none"]
Reference = Literal["val"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How generated images of one data set become numbers. Any change of meaning is a new version."""

    name: str
    version: int
    dataset: str
    """The data set whose validation split is judged."""
    summary: str = field(metadata={"semantic": False})
    judge: str
    """The segmentation network that labels the images."""
    judge_weights: str
    """Its file in the table of weights (``list weights``)."""
    image_resize: ImageResize = "none"
    """How generated images are resized for the judge; ``none``: fed at the size they were generated."""
    label_resize: LabelResize = "nearest"
    """How ground-truth labels come to the judged size."""
    conditioning: Literal["label-only", "style-from-target", "sampled"] = "label-only"
    """What the generator was given beside the label map."""
    ignored: str
    """Which ground-truth pixels count as unlabelled."""
    class_mean: Literal["present", "all"] = "present"
    """Classes that mIoU averages over: those with a ground-truth pixel, or all."""
    features: str
    """Feature extractor of the Frechet distance."""
    feature_weights: str
    reference: Reference = "val"
    """Real images that the distance compares with: the validation images of the same maps, read at the same size."""
    metrics: tuple[str, ...]
    """Metric names, in the order of the table."""
    sources: Mapping[str, str] = field(metadata={"semantic": False})
    """Where each field's value comes from: the paper, its authors' words, later practice or our guess."""

    @property
    def key(self) -> str:
        """``name@version``, as every table prints it."""
        return f"{self.name}@{self.version}"

    @property
    def weights_files(self) -> tuple[str, ...]:
        """Names in the table of weights of all files that its metrics need."""
        inception = ("inception-fid",) if "FID@tf" in self.metrics else ()
        return tuple(sorted({self.judge_weights, self.feature_weights, *inception}))

    def explained(self) -> list[tuple[str, object, str]]:
        """Rows of (field, value, source)."""
        hidden = ("name", "version", "summary", "sources")
        shown = [item.name for item in fields(self) if item.name not in hidden]
        return [(name, getattr(self, name), self.sources.get(name, "")) for name in shown]


SYNTHETIC = Protocol(
    name="synthetic",
    version=1,
    dataset="synthetic",
    summary="the embedded world, judged by the small network shipped with this project",
    judge="synthetic-judge",
    judge_weights="synthetic-judge",
    label_resize="none",
    ignored="none: every pixel of a synthetic scene has a class",
    features="synthetic-judge",
    feature_weights="synthetic-judge",
    metrics=("mIoU", "accu@all", "accu@labelled", "FD@synthetic-judge", "FID@tf"),
    sources={
        "dataset": "this project: procedural scenes",
        "judge": "this project: trained on real synthetic pairs (bench/evaluation/judges)",
        "judge_weights": "this project: shipped with its sha256",
        "image_resize": "this project",
        "label_resize": "this project: labels are made at the judged size",
        "conditioning": "paper section 4: label maps alone",
        "ignored": "this project",
        "class_mean": "paper's judges: classes without a pixel do not count",
        "features": "this project: named so, since it is no Inception distance",
        "feature_weights": "this project",
        "reference": "paper section 4: real validation images",
        "metrics": "paper section 4: mIoU, accuracy, FID; both accuracy conventions (see accu@all, accu@labelled)",
    },
)

_GUESS = "our guess"
COCO_STUFF = Protocol(
    name="coco-stuff-generated-size",
    version=1,
    dataset="coco_stuff",
    summary="COCO-Stuff at the generated size: DeepLabV2 and FID, labels resized by nearest",
    judge="deeplabv2-resnet101-msc-cocostuff164k",
    judge_weights="deeplabv2-cocostuff164k",
    ignored="don't care (255 in the files, id 182 here)",
    features="inception-tf",
    feature_weights="inception-fid",
    metrics=("mIoU", "accu@all", "accu@labelled", "FID@tf"),
    sources={
        "dataset": "paper section 4",
        "judge": "paper section 4; weights named by the authors in NVlabs/SPADE#39",
        "judge_weights": "kazuto1011/deeplab-pytorch README: kept intact since 2019-02-23 for followers of SPADE",
        "image_resize": "later practice (CC-FPSE#4, OASIS#5, CLADE#3): the generated image as it is",
        "label_resize": "later practice (CC-FPSE#4): nearest to the generated size; NVlabs/SPADE#100 says the like",
        "conditioning": "paper section 4: label maps alone",
        "ignored": "deeplab-pytorch: 255 is ignored",
        "class_mean": "deeplab-pytorch: mean over classes present in the ground truth",
        "features": "paper section 4: FID; the authors in NVlabs/SPADE#14: pytorch-fid out of the box",
        "feature_weights": f"present pytorch-fid; the paper may have used torchvision's Inception ({_GUESS})",
        "reference": f"paper section 4: real images of the validation split; resized as the generated ones ({_GUESS})",
        "metrics": "paper section 4",
    },
)

_PROTOCOLS = {protocol.name: protocol for protocol in (SYNTHETIC, COCO_STUFF)}


def list_protocols() -> list[Protocol]:
    """The protocols there are, in a fixed order."""
    return list(_PROTOCOLS.values())


def protocol_for(dataset: str, name: str | None = None) -> Protocol:
    """The protocol called ``name``, or the data set's first. Raises ValueError where none judges that data set."""
    if name is not None:
        protocol = get_protocol(name)
        if protocol.dataset != dataset:
            raise ValueError(f"protocol {protocol.key} judges {protocol.dataset}, not {dataset}")
        return protocol
    fitting = [item for item in list_protocols() if item.dataset == dataset]
    if not fitting:
        known = ", ".join(f"{item.key} ({item.dataset})" for item in list_protocols())
        raise ValueError(f"no protocol judges data set {dataset!r} yet; there are: {known}")
    return fitting[0]


def get_protocol(name: str) -> Protocol:
    """The protocol called ``name`` or ``name@version``. Raises ValueError that lists the known ones."""
    bare, _, version = name.partition("@")
    protocol = _PROTOCOLS.get(bare)
    if protocol is None or (version and version != str(protocol.version)):
        known = ", ".join(item.key for item in list_protocols())
        raise ValueError(f"no protocol is called {name!r}; known are: {known}")
    return protocol
