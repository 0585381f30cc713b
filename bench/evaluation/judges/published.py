"""The paper's three judges: which network, which files, and which parts of their test belong to the network itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.evaluation.judge_test import JudgeTest
from bench.evaluation.judges import deeplab_v2, drn, upernet_csail
from bench.evaluation.judges.checkpoint import load_strictly, read_tensors
from bench.evaluation.judges.mmseg_parts import MODELS, ConfigDict, DefaultScope


@dataclass(frozen=True, kw_only=True)
class PublishedNetwork:
    """A judge's network and the form of its published checkpoint."""

    classes: int
    parts: tuple[str, ...]
    """What each file's keys are put behind, in the order of a protocol's ``judge_weights``."""
    config: Callable[[JudgeTest], Mapping[str, Any]]
    """The model's configuration for `MODELS.build`, for a test procedure."""
    file_key: Callable[[str], str]
    dropped: Callable[[str], bool] = lambda key: False
    output_resize: str = "bilinear"
    """The one value of the test's field that the network can serve."""


def _deeplab_config(test: JudgeTest) -> dict[str, Any]:
    scales = test.scales if test.input_resize == "tensor-bilinear" else (1.0,)
    return deeplab_v2.deeplab_v2_config(scales, by_size_ratio=test.scale_step == "size-ratio")


NETWORKS: Mapping[str, PublishedNetwork] = {
    "deeplabv2-resnet101-msc-cocostuff164k": PublishedNetwork(
        classes=deeplab_v2.CLASSES, parts=("",), config=_deeplab_config, file_key=deeplab_v2.published_key
    ),
    "upernet101-csail": PublishedNetwork(
        classes=upernet_csail.CLASSES,
        parts=("encoder.", "decoder."),
        config=lambda test: upernet_csail.upernet_csail_config(),
        file_key=upernet_csail.published_key,
        dropped=upernet_csail.is_dropped,
    ),
    "drn-d-105": PublishedNetwork(
        classes=drn.CLASSES,
        parts=("",),
        config=lambda test: drn.drn_config(),
        file_key=drn.published_key,
        output_resize="deconvolution-x8",
    ),
}
"""By the name that protocols use."""


def build_published(name: str, test: JudgeTest, files: Sequence[Path]) -> nn.Module:
    """The network called ``name``, filled from its published files: on the CPU, in eval mode, without gradients.

    ``network(images, mode="tensor")`` gives logits (N, classes, h, w). Raises CheckpointError for other files, and
    ValueError for a number of files or a test procedure that the network does not have.
    """
    published = NETWORKS[name]
    if len(files) != len(published.parts):
        raise ValueError(f"judge {name} has {len(published.parts)} weights file(s), the protocol names {len(files)}")
    if test.output_resize != published.output_resize:
        raise ValueError(
            f"judge {name} enlarges by {published.output_resize!r}; the protocol's test.output_resize is "
            f"{test.output_resize!r}"
        )
    if test.input_resize == "tensor-bilinear" and name != "deeplabv2-resnet101-msc-cocostuff164k":
        raise ValueError(f"judge {name} cannot resize tensors itself: the protocol's test.input_resize must be another")
    network = fresh_model(published.config(test))
    tensors: dict[str, Tensor] = {}
    for part, path in zip(published.parts, files, strict=True):
        tensors |= {part + key: value for key, value in read_tensors(path).items()}
    source = " and ".join(str(path) for path in files)
    load_strictly(network, tensors, source=source, file_key=published.file_key, dropped=published.dropped)
    return network


def fresh_model(config: Mapping[str, Any]) -> nn.Module:
    """An mmsegmentation model with its first weights, in eval mode without gradients. Draws no random number."""
    scope = DefaultScope.overwrite_default_scope("mmseg")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), scope:
        # mmsegmentation warns of its own old spellings and of losses, which a judge has no use for.
        warnings.filterwarnings("ignore", category=UserWarning, module="mmseg")
        network: nn.Module = MODELS.build(ConfigDict(config))
    return network.eval().requires_grad_(False)
