"""A workstation for the tests of the local backend: a store, a study, and jobs that do as they are told."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.launching.local import LocalSettings, run_local
from bench.launching.outcome import Outcome
from bench.plan import Action, plan_study
from bench.store import Store
from bench.study import Study
from tests.launching.local import stub
from tests.reporting.conftest import make_study

ROOT = Path(__file__).resolve().parents[3]
ROWS = (
    ("SPADE decoder", "spade-decoder", None),
    ("pix2pixHD", "pix2pixhd", None),
    ("decoder w/ Concat", "concat-decoder", None),
)


@dataclass
class Workstation:
    """The local backend with stubs for jobs."""

    folder: Path
    store: Store
    study: Study
    printed: io.StringIO

    def orders(self, **by_title: Any) -> None:
        """What jobs do, by a part of their titles (``_`` for a space); a list has one entry for each rank."""
        told = {title.replace("_", " "): what for title, what in by_title.items()}
        (self.folder / "orders.json").write_text(json.dumps(told), encoding="utf-8")

    def plan(self) -> list[Action]:
        """What would be done now."""
        return plan_study(self.study, self.store)

    def run(self, *, decide: Callable[[], list[Action]] | None = None, **settings: Any) -> Outcome:
        """Take up the plan, with settings of the backend."""
        given = LocalSettings(**{"device": "cpu", "processes": 2, **settings})
        return run_local(
            decide or self.plan,
            self.store,
            Console(file=self.printed, width=200),
            given,
            project=self.folder / "project",
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the stubs noted, in order."""
        path = self.folder / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def began(self) -> list[str]:
        """Titles of the jobs whose rank 0 has begun."""
        return [event["title"] for event in self.events if event["event"] == "began" and event["rank"] == 0]


def workstation(folder: Path) -> Workstation:
    """The workstation in a folder that the fixture has prepared."""
    return Workstation(folder=folder, store=Store(folder / "store"), study=make_study(rows=ROWS), printed=io.StringIO())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workstation:
    package = tmp_path / "project" / "bench" / "launching"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    text = Path(stub.__file__).read_text(encoding="utf-8").replace("@ROOT@", str(ROOT))
    (package / "execute.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv("STUB_ORDERS", str(tmp_path / "orders.json"))
    monkeypatch.setenv("STUB_EVENTS", str(tmp_path / "events.jsonl"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = workstation(tmp_path)
    found.orders()
    return found
