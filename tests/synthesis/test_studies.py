"""The studies of figures 1 and 9 train one and the same model, the one that `train --switch vae` trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines.registry import get_variant
from baselines.switches import switched
from bench.study import get_study
from tests.data import trees


def test_the_small_study_is_the_switch_on_the_narrow_decoder() -> None:
    study = get_study("figure9_small")
    ((_, _, _, run),) = study.cells()
    other = switched(get_variant("spade-decoder").scaled(width=8), ["vae", "no-perceptual"])
    assert run.generator == other.generator
    assert run.recipe.encoder is not None
    assert run.recipe.encoder.z_dim == run.generator.z_dim == 256  # type: ignore[attr-defined]
    assert (run.recipe.kl_weight, run.recipe.perceptual_weight) == (0.2, 0.0)


def test_both_figures_share_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPADE_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPADE_BENCH_DATA_COCO_STUFF", str(trees.write_released(tmp_path / "coco")))
    runs = {name: [run for *_, run in get_study(name).cells()] for name in ("figure1", "figure9")}
    assert runs["figure1"] == runs["figure9"]
    (run,) = runs["figure1"]
    assert run.variant == "spade-decoder-encoder"
    assert (run.training.batch_images, run.training.decay) == (32, True)
