"""The losses of 20 steps in float64, as they were recorded: a refactoring must not change them.

A change that is meant to change the numbers records them anew, and says so in its commit:

    python -m tests.training.test_recorded_losses --record
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from baselines.batch import Batch
from bench.training.trainer import base_rate
from spade_core.released import to_released_state_dict
from tests.spade_core.golden import image, labels, load_filled
from tests.tiny import splits, tiny_run
from tests.training.test_distributed import build

FOLDER = Path(__file__).parent / "recorded"
VARIANTS = ("spade-decoder", "pix2pixhd-pp", "pix2pixhd")
STEPS = 20


def losses_of(variant: str) -> list[dict[str, float]]:
    """Every loss of every step, on batches of 2 seeded Voronoi maps and noise images.

    Weights are filled by numpy, since torch's random numbers differ in the last digits between processors.
    """
    torch.set_num_threads(1)
    run = tiny_run(variant, batch_images=2, side_px=64)
    spec = splits(run)[0].spec
    work = build(run)
    for role, network in work.networks.named().items():
        network.float()
        load_filled(network, {key: value.shape for key, value in to_released_state_dict(network).items()}, f"{role}.")
        network.double()
    for role, optimizer in work.optimizers.items():
        assert optimizer.param_groups[0]["lr"] == base_rate(run, role)
    found = []
    for step in range(STEPS):
        ids, instances = labels(2, 64, 64, spec.ids, step)
        real = image(2, 64, 64, 1000 + step).double()
        losses = work([Batch(spec=spec, labels=ids, instances=instances, images=real)])
        found.append({name: value.item() for name, value in losses.items()})
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_losses_are_those_that_were_recorded(variant: str) -> None:
    recorded = json.loads((FOLDER / f"{variant}.json").read_text(encoding="utf-8"))
    found = losses_of(variant)
    assert len(found) == len(recorded) == STEPS
    for step, (ours, theirs) in enumerate(zip(found, recorded, strict=True), start=1):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12), f"step {step}"


if __name__ == "__main__":
    if sys.argv[1:] != ["--record"]:
        sys.exit("usage: python -m tests.training.test_recorded_losses --record")
    FOLDER.mkdir(exist_ok=True)
    for name in VARIANTS:
        (FOLDER / f"{name}.json").write_text(json.dumps(losses_of(name), indent=1) + "\n", encoding="utf-8")
