"""Frozen copies of the code: what is in them, that they stay what they are, and that jobs run from them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.launching.job_file import JobFile, JobSettings
from bench.launching.snapshot import Snapshot, SnapshotError, frozen_environment, take_snapshot
from bench.plan import Job
from bench.provenance import code_state
from bench.store import Store
from tests.tiny import tiny_run

ROOT = Path(__file__).resolve().parents[2]
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small project under version control, with a change, an untracked module and things that are no code."""
    root = tmp_path / "checkout"
    files = {
        "bench/__init__.py": "",
        "bench/a.py": "A = 1\n",
        "bench/table.json": "{}\n",
        "run_study.py": "#!/bin/sh\n",
        "tests/test_a.py": "",
        "results/picture.png": "x",
        "docs/page.md": "x",
        ".gitignore": "weights/\n__pycache__/\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "run_study.py").chmod(0o755)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    (root / "bench" / "a.py").write_text("A = 2\n")
    for name in ("my_layer.py", "datasets/mine.toml", "weights/w.py", "notes.txt", "bench/__pycache__/a.pyc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine = 1\n")
    return root


def content(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(paths)}


def test_the_working_tree_is_copied_as_it_is(checkout: Path, tmp_path: Path) -> None:
    snapshot = take_snapshot(Store(tmp_path / "store"), checkout)
    found = content(snapshot.folder)
    assert found.keys() == {
        ".gitignore",
        "bench/__init__.py",
        "bench/a.py",
        "bench/table.json",
        "run_study.py",
        "my_layer.py",
        "datasets/mine.toml",
        "snapshot.json",
        "changes.patch",
    }
    assert found["bench/a.py"] == "A = 2\n"
    assert "-A = 1\n+A = 2\n" in found["changes.patch"]
    assert os.access(snapshot.folder / "run_study.py", os.X_OK)
    assert snapshot.folder.parent == tmp_path / "store" / "code"
    assert (snapshot.commit, snapshot.dirty) == (git(checkout, "rev-parse", "HEAD"), True)
    assert snapshot.told() == f"commit {snapshot.commit[:7]} with changes, code {snapshot.name}"


def test_equal_code_is_kept_once_and_other_code_beside_it(checkout: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = take_snapshot(store, checkout)
    (checkout / "notes.txt").write_text("no code")
    assert take_snapshot(store, checkout) == first
    (checkout / "my_layer.py").write_text("mine = 2\n")
    second = take_snapshot(store, checkout)
    assert second.name != first.name
    assert sorted(path.name for path in (tmp_path / "store" / "code").iterdir()) == sorted([first.name, second.name])
    (checkout / "my_layer.py").rename(checkout / "renamed.py")
    assert take_snapshot(store, checkout).name not in (first.name, second.name)
    assert (first.folder / "my_layer.py").read_text() == "mine = 1\n"


def test_provenance_tells_what_a_copy_was_made_from(checkout: Path, tmp_path: Path) -> None:
    state = code_state(checkout)
    snapshot = take_snapshot(Store(checkout / "results" / "store"), checkout)  # a store inside the checkout, as usual
    told = code_state(snapshot.folder)
    assert told == {**state, "snapshot": snapshot.name}
    git(checkout, "commit", "-q", "-a", "-m", "second")
    assert code_state(snapshot.folder) == told


def test_a_copy_of_a_copy_is_the_copy(checkout: Path, tmp_path: Path) -> None:
    """A job that submits: its own code is the frozen one."""
    store = Store(tmp_path / "store")
    first = take_snapshot(store, checkout)
    assert take_snapshot(store, first.folder) == first


def test_an_edited_copy_is_refused(checkout: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    snapshot = take_snapshot(store, checkout)
    path = snapshot.folder / "bench" / "a.py"
    assert path.stat().st_mode & 0o222 == 0
    path.chmod(0o644)
    path.write_text("A = 3\n")
    with pytest.raises(
        SnapshotError, match=r"bench/a\.py of this frozen copy of the code were changed; jobs run from it"
    ):
        take_snapshot(store, checkout)


def test_without_git_the_packages_are_copied(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / ".git")
    (checkout / "pyproject.toml").write_text("")
    snapshot = take_snapshot(Store(tmp_path / "store"), checkout)
    assert (snapshot.commit, snapshot.dirty) == (None, None)
    names = set(content(snapshot.folder))
    assert names >= {"bench/a.py", "bench/table.json", "datasets/mine.toml", "my_layer.py", "run_study.py"}
    assert not names & {"notes.txt", "weights/w.py", "tests/test_a.py", "bench/__pycache__/a.pyc"}


def test_a_folder_without_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SnapshotError, match="0 files of 0 MiB are no code to freeze"):
        take_snapshot(Store(tmp_path / "store"), tmp_path / "empty")


def test_a_copy_that_was_never_finished_is_no_copy(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "rename", lambda self, target: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        with pytest.raises(OSError, match="No space left"):
            take_snapshot(store, checkout)
    assert list((tmp_path / "store" / "code").iterdir()) == []
    take_snapshot(store, checkout)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project without version control."""
    root = tmp_path_factory.mktemp("project")
    for package in ("bench", "baselines", "spade_core", "studies"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("run_study.py", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    return root


def run_in(snapshot: Snapshot, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = frozen_environment(snapshot, {**os.environ, "OMP_NUM_THREADS": "1"})
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=snapshot.folder, env=environment, capture_output=True, text=True, check=True, timeout=300
    )


def test_a_job_runs_from_its_copy_whatever_becomes_of_the_checkout(project: Path, tmp_path: Path) -> None:
    """The copy wins against the checkout it was made from and against the installed project (``make`` installs it)."""
    store = Store(tmp_path / "store")
    run = tiny_run(steps=1, side_px=32)
    job = Job(kind="train", label="tiny", dataset="synthetic", seed=run.seed, run=run)
    path = JobFile(job=job, store=store.root, settings=JobSettings(device="cpu")).write()
    snapshot = take_snapshot(store, project)
    for name in ("bench/launching/execute.py", "bench/training/trainer.py", "spade_core/generators.py"):
        (project / name).write_text("raise SystemExit('this is the edited checkout')\n")
    code = "import bench, baselines, spade_core; print([m.__file__ for m in (bench, baselines, spade_core)])"
    found = run_in(snapshot, "-c", code).stdout
    assert found.count(str(snapshot.folder.resolve())) == 3
    done = run_in(snapshot, "-m", "bench.launching.execute", str(path))
    assert store.run(run).status().state == "done", done.stdout + done.stderr
    told = json.loads((store.run(run).path / "provenance.json").read_text())
    assert told["snapshot"] == snapshot.name
    assert take_snapshot(store, snapshot.folder) == snapshot  # running it has not changed it
