"""The verbs site and leaderboard as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.store import Store
from tests.reporting.conftest import FakeStore, make_study
from tests.test_cli import cli


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one judged run of a study that only the store knows."""
    fake = FakeStore(make_study(seeds=(0,)), Store(tmp_path / "store"))
    fake.done("SPADE decoder", parameters=1000, mIoU=43.0, accu_all=80.0)
    fake.store.write_study(fake.study)
    return fake.store.root


def test_site_says_what_it_does_and_where_to_look(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    text = cli("site", "tiny", "--store", store, "--out", out)
    assert "site: 100 %  tiny: " in text
    assert f"{out}/index.html" in text
    assert f"{out}/tiny.html" in text
    (out / "site.json").unlink()
    text = cli("site", "tiny", "--store", store, "--out", out, status=1)
    assert text.startswith("error: --out ")
    assert "no site.json that says a site was written there; give a new or an empty folder" in text
    assert "study tiny is named twice" in cli("site", "tiny", "tiny", "--store", store, "--out", out, status=1)
    assert "no study is called 'table9'" in cli("site", "table9", "--store", store, "--out", out, status=1)


def test_leaderboard_says_what_is_ranked_and_what_did_not_change(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    text = cli("leaderboard", store, "--out", out)
    assert "1 entry on 1 board\n" in text
    assert {path.name for path in out.iterdir()} == {f"leaderboard.{ending}" for ending in ("csv", "md", "html")}
    text = cli("leaderboard", store, store, "--out", out)
    assert "1 evaluation is in several stores and counts once" in text
    assert text.count("(as it was)") == 3
    assert "error: name at least one store" in cli("leaderboard", status=1)
    assert "there is no such store" in cli("leaderboard", tmp_path / "nowhere", "--out", out, status=1)
    fields = json.loads(cli("leaderboard", "--schema"))["fields"]
    assert {"rank", "change", "mean", "run_ids"} <= {field["name"] for field in fields}
