"""The table of metrics: every name leads to an extractor, and to files that the table of weights can explain."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.evaluation.metric_table import EXTRACTORS, METRICS, Metric, get_metric, weights_of
from bench.evaluation.weights import list_weights


def test_metrics_on_features_carry_the_extractors_name_and_its_files() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name
        on_features = metric.kind in ("frechet", "kernel", "precision", "recall")
        assert (metric.features is not None) == on_features
        if metric.features is not None:
            assert name.split("@")[1] == metric.features
            assert metric.weights == EXTRACTORS[metric.features].weights


def test_only_inception_distances_are_called_fid_and_kid() -> None:
    names = {name.split("@")[0] for name, metric in METRICS.items() if metric.features in ("tf", "tv2019", "clean")}
    assert {"FID", "KID"} <= names
    others = {name.split("@")[0] for name, metric in METRICS.items() if EXTRACTORS.get(metric.features or "")}
    assert {"FD", "KD"} <= others
    for name, metric in METRICS.items():
        if metric.features in ("efficientnet-lite0", "synthetic-judge"):
            assert name.split("@")[0] not in ("FID", "KID")
            assert "not an FID" in metric.meaning


def test_weights_are_named_once_and_sorted() -> None:
    assert weights_of(("mIoU", "accu@all")) == ()
    assert weights_of(("LPIPS@alex", "FID@tf", "KID@tf", "FID@clean")) == ("alexnet", "inception-fid")
    assert weights_of(("FID@tv2019",)) == ("inception-tv2019",)


def test_every_file_is_in_the_table_of_weights() -> None:
    assert set(weights_of(METRICS)) <= {entry.name for entry in list_weights()}


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no metric is called 'FID'; known are: mIoU, accu@all, .*FID@tf"):
        get_metric("FID")
    with pytest.raises(ValueError, match="no metric is called 'fid@tf'"):
        weights_of(("fid@tf",))
    with pytest.raises(ValueError, match="metric FID@vgg: no extractor is called 'vgg'; known are: tf, tv2019"):
        Metric(name="FID@vgg", unit="", higher_better=False, meaning="", kind="frechet", features="vgg")


def test_the_table_is_read_without_numpy_and_torch() -> None:
    code = "import sys, bench.evaluation.metric_table; print(sorted({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
