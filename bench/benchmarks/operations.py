"""Operations of a forward pass, counted and not timed: what no other work on the machine changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.benchmarks.maps import MapSet, distinct_by_size
from bench.benchmarks.reference import DenseGenerator, DenseSPADE
from bench.benchmarks.timing import mean
from bench.provenance import code_state
from spade_core.costs import Layer, rates_of, tables_are_faster
from spade_core.labels import LabelMap
from spade_core.settings import SpadeSettings
from spade_core.windows import Frame

_CPU = torch.device("cpu")


def count_operations(
    settings: SpadeSettings,
    maps: MapSet,
    *,
    batch_images: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Multiplications and additions of the reference and of the fast generator, mean over the batches of ``maps``.

    Ours are those of convolutions, products and sums of rows, with the choices that the CPU makes. ``distinct`` as in
    the generator's benchmark. Raises ValueError for fewer than one image in a batch.
    """
    if batch_images < 1:
        raise ValueError(f"benchmark operations: batch is {batch_images}; it must be at least 1")
    batches = [maps.batch(start, batch_images, _CPU) for start in range(0, len(maps), batch_images)]
    dense = _Dense(settings, batches[0])
    rows = []
    for number, batch in enumerate(batches, start=1):
        rows.append({name: value / 1e9 for name, value in dense.fast(batch).items()})
        progress(f"batch {number} of {len(batches)}: {sum(rows[-1].values()):.1f} GFLOP")
    reference = {name: value / 1e9 for name, value in dense.operations.items()}
    fast = {name: mean([row[name] for row in rows]) for name in rows[0]}
    totals = [sum(row.values()) for row in rows]
    return {
        "benchmark": "operations",
        "maps": maps.title,
        "size": list(maps.size),
        "channels": maps.spec.channels,
        "batch_images": batch_images,
        "reference_gflop": sum(reference.values()),
        "fast_gflop": sum(fast.values()),
        "ratio": sum(reference.values()) / sum(fast.values()),
        "ratio_least": sum(reference.values()) / max(totals),
        "ratio_most": sum(reference.values()) / min(totals),
        "reference_gflop_of": reference,
        "fast_gflop_of": fast,
        "distinct": distinct_by_size(maps, settings, batch_images),
        "commit": code_state()["commit"],
    }


class _Dense:
    """The reference's layers and what each part of it costs, for batches of the shape of ``label_map``."""

    def __init__(self, settings: SpadeSettings, label_map: LabelMap) -> None:
        self.layers: list[tuple[Layer, int, tuple[int, int]]] = []
        with torch.device("meta"):
            network = DenseGenerator(settings, label_map.spec, label_map.size)
            one_hot = torch.empty(len(label_map), label_map.spec.channels, *label_map.size)
        for module in network.modules():
            if isinstance(module, DenseSPADE):
                module.register_forward_pre_hook(self._note)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network.eval().from_one_hot(one_hot)
        of_maps = modulation = 0.0
        for layer, channels, (height, width) in self.layers:
            pixels = len(label_map) * height * width
            of_maps += 2.0 * pixels * channels * layer.hidden * layer.kernel**2
            modulation += pixels * layer.flop
        self.operations = {
            "label map": of_maps,
            "gamma and beta": modulation,
            "features": counter.get_total_flops() - of_maps - modulation,
        }

    def fast(self, label_map: LabelMap) -> dict[str, float]:
        """The same parts, as the fast generator computes them for a batch of maps."""
        parts = {**dict.fromkeys(self.operations, 0.0), "features": self.operations["features"]}
        for layer, _, size in self.layers:
            kernel = layer.kernel
            found = label_map.windows_at(size, Frame(kernel=kernel, padding=kernel // 2))
            pixels, windows, patches = found.windows.of_pixel.numel(), len(found.windows), len(found.patches)
            parts["label map"] += windows * kernel**2 * layer.hidden
            if tables_are_faster(layer, pixels=pixels, windows=windows, patches=patches, rates=rates_of("cpu")):
                parts["gamma and beta"] += windows * layer.flop + patches * kernel**2 * 2 * layer.channels
            else:
                parts["gamma and beta"] += pixels * layer.flop
        return parts

    def _note(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(module, DenseSPADE)
        shared, x = module.mlp_shared[0], inputs[0]
        assert isinstance(shared, nn.Conv2d)
        assert isinstance(x, Tensor)
        layer = Layer(channels=x.shape[1], hidden=shared.out_channels, kernel=shared.kernel_size[0])
        self.layers.append((layer, shared.in_channels, (x.shape[2], x.shape[3])))
