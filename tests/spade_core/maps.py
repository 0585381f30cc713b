"""Label maps for property tests: few regions, one class, noise, all pixels different; with and without edges."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from spade_core.label_spec import LabelSpec
from spade_core.labels import LabelMap


@st.composite
def label_maps(draw: st.DrawFn, *, smallest: int = 1, largest: int = 9) -> LabelMap:
    """A batch of 1 to 3 maps; sides from ``smallest`` to ``largest`` px."""
    images = draw(st.integers(1, 3))
    height, width = draw(st.integers(smallest, largest)), draw(st.integers(smallest, largest))
    kind = draw(st.sampled_from(["one class", "regions", "noise", "all different"]))
    classes = images * height * width if kind == "all different" else draw(st.integers(1, 6))
    spec = LabelSpec(classes=classes, dont_care=draw(st.booleans()), instance_edges=draw(st.booleans()))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    if kind == "one class":
        labels = torch.full((images, height, width), spec.ids - 1)
    elif kind == "regions":
        coarse = torch.randint(0, spec.ids, (images, height // 3 + 1, width // 3 + 1), generator=generator)
        labels = coarse.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :height, :width]
    elif kind == "noise":
        labels = torch.randint(0, spec.ids, (images, height, width), generator=generator)
    else:
        labels = torch.randperm(classes, generator=generator).view(images, height, width)
    instances = torch.randint(0, 2, (images, height // 4 + 1, width // 4 + 1), generator=generator)
    instances = instances.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :height, :width]
    return LabelMap(labels, instances, spec)


def same_again(label_map: LabelMap) -> LabelMap:
    """A new object for the same maps, which has found out nothing yet."""
    again = LabelMap(label_map.labels, label_map.labels, label_map.spec)
    again.edges = label_map.edges
    return again
