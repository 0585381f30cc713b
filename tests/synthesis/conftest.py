"""One tiny trained-looking run for all tests of this folder: two steps, with an image encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from baselines.building import build_networks
from baselines.steps import build_step
from bench.store import Store
from bench.synthesis.model import Synthesizer, synthesizer_of_run
from bench.training.checkpoint import save_checkpoint
from bench.training.distributed import Ranks
from spade_core.label_spec import LabelSpec
from tests.tiny import splits, tiny_run

CPU = torch.device("cpu")


def saved_run(store: Store, name: str) -> str:
    """A run of ``name`` whose checkpoint of step 4 holds freshly initialised networks, made lively; its run_id."""
    run = tiny_run(name)
    spec: LabelSpec = splits(run)[0].spec
    networks = build_networks(run.generator, run.recipe, spec, run.dataset.size, 0)
    with torch.no_grad():  # the released initialization is near 0: its images are all grey
        for network in networks.named().values():
            for parameter in network.parameters():
                parameter.mul_(4.0)
    folder = store.run(run)
    folder.create(run)
    work = build_step(run.recipe, networks, None)
    save_checkpoint(folder.checkpoints, run_id=run.run_id, step=4, work=work, average=None, ranks=Ranks())
    folder.write_status(state="done", step=4, steps=4)
    return run.run_id


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Runs of the decoder with an image encoder and without z."""
    made = Store(tmp_path_factory.mktemp("store"))
    for name in ("spade-decoder-encoder", "spade-decoder"):
        saved_run(made, name)
    return made


def opened(store: Store, name: str) -> Synthesizer:
    return synthesizer_of_run(store, f"{name}-synthetic", device=CPU, step=None, weights="raw", size=None)


@pytest.fixture(scope="session")
def styled(store: Store) -> Synthesizer:
    """The decoder with an image encoder, 32 px, z of length 8."""
    return opened(store, "spade-decoder-encoder")


@pytest.fixture(scope="session")
def plain(store: Store) -> Synthesizer:
    """The decoder that starts from the label map."""
    return opened(store, "spade-decoder")


@pytest.fixture
def style_files(tmp_path: Path) -> list[Path]:
    """Two photographs unlike each other."""
    rng = np.random.default_rng(0)
    files = []
    for name, low, high in (("dusk", 0, 90), ("noon", 120, 255)):
        files.append(tmp_path / f"{name}.png")
        Image.fromarray(rng.integers(low, high, (40, 60, 3)).astype(np.uint8)).save(files[-1])
    return files


def write_map(path: Path, seed: int = 0, side: int = 48, ids: int = 12) -> Path:
    """A PNG of label ids in blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, ids, (side // 8, side // 8)).astype(np.uint8)
    Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(path)
    return path
