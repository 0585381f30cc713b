"""The store: every run and every evaluation in a folder of its own. The only module that knows the paths.

    STORE/runs/<run name>/        run.json status.json metrics.jsonl provenance.json error.txt
                                  checkpoints/ samples/ generated/<step>-<weights>/ tensorboard/
    STORE/evaluations/<eval id>/  evaluation.json confusion.npz
    STORE/jobs/<job key>/         job.json submissions.jsonl lives.jsonl logs/
    STORE/studies/<study>.json    what was last asked for, so that a copied store reports by itself

A run's state is what its own folder says. Nothing here imports torch or pandas, so a copied store can be read anywhere.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.atomic import check_write, read_json, write_json, written_beside
from bench.claim import HEARTBEAT_LOST_S, Holder, holder_of, process_lives
from bench.plain import content_hash, from_plain, plain_hash, to_plain
from bench.run_spec import DatasetRef, RunSpec, Selection

if TYPE_CHECKING:
    from bench.study import Study

State = Literal["pending", "running", "failed", "done"]
Weights = Literal["raw", "ema"]

SILENT = "died without a word"
"""How the error of a run begins whose process was killed, or whose machine is gone."""
LOST_PEER = "another rank, or its machine, ended without a word"
"""How the error of a rank begins that only saw another one vanish."""
_SUBJECT = re.compile(r'"subject":\s*("(?:[^"\\]|\\.)*")')
_NAMES_ERROR = re.compile(r"[\w.]+(Error|Exception|Interrupt)\b")


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """What ``status.json`` of a run says."""

    state: State
    step: int = 0
    steps: int = 0
    images_per_s: float | None = None
    eta_s: float | None = None
    attempt: int = 1
    """How often the run was started."""
    host: str = ""
    pid: int = 0
    updated: float = 0.0
    """Seconds since the epoch."""
    error: str = ""
    """One line, for a failed run: of the rank that failed first. Its traceback: :meth:`RunFolder.first_error`."""
    note: str = ""
    """What a reader should know although nothing failed, such as a damaged checkpoint that was passed over."""

    @property
    def fraction(self) -> float:
        """Share of the steps that are done, 0 to 1."""
        return self.step / self.steps if self.steps else 0.0


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """What is judged and how: the identity of one evaluation."""

    subject: str
    """A run's name, ``real`` for the validation images themselves, or ``external:NAME`` for imported images."""
    run_id: str | None
    weights: Weights = "raw"
    selection: Selection = "last"
    step: int | None = None
    """Step of the checkpoint; None: the last (or the selected) one."""
    protocol: str
    """``name@version``."""
    protocol_sha256: str
    """Hash of what the protocol says, so that one edited without a new version is not taken for the old."""
    dataset: DatasetRef
    """Of it, name, size, content of the validation split and number of its images count."""
    noise_seed: int = 0
    """Seed of z, for generators that take one."""
    weights_sha256: dict[str, str] = field(default_factory=dict)
    """sha256 of judge and extractor files by name; ``missing`` where a file is not there (then it is judged again
    once it is)."""

    @cached_property
    def eval_id(self) -> str:
        """12 hexadecimal digits."""
        data = self.dataset
        judged = {"name": data.name, "size": data.size, "content": data.val_manifest, "images": data.val_images}
        others = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "dataset"}
        return plain_hash({**others, "dataset": judged})[:12]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric's value, or the reason why there is none."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The content of ``evaluation.json``."""

    eval_id: str
    spec: EvaluationSpec
    images: int
    """Images judged."""
    step: int | None
    """Step of the checkpoint that made them; None for real and imported images."""
    scores: dict[str, Score]
    """By metric name; percent for mIoU and accuracies."""
    class_iou: dict[str, float | None]
    """Intersection over union in percent by class name; None for classes that do not occur."""
    class_pixels: dict[str, int]
    """Ground-truth pixels by class name."""
    selection_note: str = ""
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    """Where the time of rank 0 went."""
    provenance: dict[str, Any] = field(default_factory=dict)


class RunFolder:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def spec_file(self) -> Path:
        return self.path / "run.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def error_file(self) -> Path:
        return self.path / "error.txt"

    def rank_error_file(self, rank: int) -> Path:
        """Traceback of one rank; rank 0's is ``error.txt``."""
        return self.error_file if rank == 0 else self.path / f"error-rank{rank}.txt"

    def error_files(self) -> list[Path]:
        """The tracebacks of the ranks that failed in the last attempt."""
        return [path for path in (self.error_file, *sorted(self.path.glob("error-rank*.txt"))) if path.is_file()]

    def first_error(self) -> tuple[Path, str] | None:
        """The traceback that was written first in the last attempt, and its first line; None where there is none."""
        files = sorted(self.error_files(), key=lambda path: path.stat().st_mtime_ns)
        if not files:
            return None
        lines = files[0].read_text(encoding="utf-8", errors="replace").splitlines()
        return files[0], lines[0] if lines else "no word of why"

    def forget_errors(self) -> None:
        """Delete the tracebacks of earlier attempts."""
        check_write(self.error_file)
        for path in self.error_files():
            path.unlink(missing_ok=True)

    @property
    def attempts(self) -> int:
        """How often the run was started."""
        return len(list(self.path.glob("provenance-*.json")))

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    def saved_step(self) -> int:
        """Step of the newest checkpoint, 0 where there is none."""
        return max((int(path.stem.removeprefix("step_")) for path in self.checkpoints.glob("step_*.pt")), default=0)

    def generated(self, step: int, spec: EvaluationSpec) -> Path:
        """Folder of the validation images, PNG files, that the checkpoint of ``step`` generates for ``spec``."""
        data = spec.dataset
        maps = content_hash([data.val_manifest, data.val_images])[:8]
        return self.path / "generated" / f"step_{step:08d}-{spec.weights}-maps{maps}-noise{spec.noise_seed}"

    def exists(self) -> bool:
        return self.spec_file.is_file()

    def spec(self) -> RunSpec:
        """The run's specification. Raises ValueError when the file is not what it was."""
        return RunSpec.from_json(read_json(self.spec_file), str(self.spec_file))

    def create(self, spec: RunSpec) -> None:
        """Write ``run.json`` unless it is there with the same identity."""
        if self.exists():
            self.spec()
            return
        write_json(self.spec_file, spec.to_json())

    def status(self) -> RunStatus:
        """The state as the folder tells it; a running one without a sign of life for two minutes counts as failed."""
        path = f"{self.path}{os.sep}status.json"
        try:
            data = read_json(path)
        except FileNotFoundError:
            return RunStatus(state="pending")
        status = from_plain(RunStatus, data, path)
        if status.state == "running" and not _alive(status, self.path):
            silent = time.time() - status.updated
            why = f"{SILENT} on {status.host} (pid {status.pid}, last sign of life {silent:.0f} s ago)"
            first = self.first_error()
            if first is not None:
                why = first[1]
            return RunStatus(**{**to_plain(status), "state": "failed", "error": why})
        return status

    def write_status(self, **values: Any) -> None:
        """Write ``status.json`` with host, process and time added."""
        status = RunStatus(host=socket.gethostname(), pid=os.getpid(), updated=time.time(), **values)
        write_json(self.path / "status.json", to_plain(status))

    def write_provenance(self, data: dict[str, Any], attempt: int) -> None:
        write_json(self.path / f"provenance-{attempt}.json", data)
        write_json(self.path / "provenance.json", data)

    def provenance(self) -> dict[str, Any]:
        try:
            data: dict[str, Any] = read_json(f"{self.path}{os.sep}provenance.json")
        except FileNotFoundError:
            return {}
        return data

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; a last line that is cut off (the process was killed) is left out."""
        if not self.metrics_file.is_file():
            return []
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines()
        rows: list[dict[str, Any]] = []
        for number, line in enumerate(lines):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                if number == len(lines) - 1:
                    break
                raise ValueError(f"{self.metrics_file}: line {number + 1} is not JSON: {line[:80]!r}") from None
        return rows


def _alive(status: RunStatus, folder: Path) -> bool:
    """Whether a run that says 'running' does: somebody living holds its folder, or its process lives or has just."""
    if holder_of(folder) is not None:
        return True
    if status.host == socket.gethostname():
        return process_lives(status.pid, status.updated)
    return time.time() - status.updated < HEARTBEAT_LOST_S


class Store:
    """A folder of runs and evaluations."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        # Kept, since joining paths takes a third of the time of `status` where there are thousands of runs.
        self._runs, self._evaluations, self._jobs = (self.root / name for name in ("runs", "evaluations", "jobs"))

    def run(self, spec: RunSpec) -> RunFolder:
        return RunFolder(self._runs / spec.name)

    def find_run(self, text: str) -> RunFolder:
        """The one run whose name is, ends with or contains ``text`` (a run_id, say).

        Raises ValueError that lists the runs when none or several match.
        """
        runs = [folder for folder in self.runs() if text in folder.name]
        exact = [folder for folder in runs if folder.name == text]
        if len(exact or runs) == 1:
            return (exact or runs)[0]
        names = [folder.name for folder in (runs or self.runs())]
        what = "several runs match" if runs else "no run matches"
        listed = "\n  ".join(names) if names else "(the store is empty)"
        raise ValueError(f"{what} {text!r} in {self.root}:\n  {listed}")

    def runs(self) -> Iterator[RunFolder]:
        if self._runs.is_dir():
            for path in sorted(self._runs.iterdir()):
                if (path / "run.json").is_file():
                    yield RunFolder(path)

    def job_folder(self, key: str) -> Path:
        """Files of one job of a backend, by :attr:`bench.plan.Job.key`: its description, submissions, lives, logs."""
        return self._jobs / key

    def evaluation_folder(self, eval_id: str) -> Path:
        return self._evaluations / eval_id

    def _evaluation_file(self, eval_id: str) -> str:
        return f"{self._evaluations}{os.sep}{eval_id}{os.sep}evaluation.json"

    def confusion_file(self, eval_id: str) -> Path:
        """Summed and per-image confusion counts; written before ``evaluation.json``."""
        return self.evaluation_folder(eval_id) / "confusion.npz"

    def evaluation(self, eval_id: str) -> Evaluation | None:
        """The finished evaluation, or None."""
        path = self._evaluation_file(eval_id)
        try:
            data = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return from_plain(Evaluation, data, path)

    def score(self, eval_id: str, metric: str) -> Score | None:
        """One score of a finished evaluation, the rest of which is not checked; None where it was not measured."""
        path = self._evaluation_file(eval_id)
        try:
            found = read_json(path).get("scores", {}).get(metric)
        except FileNotFoundError:
            return None
        return None if found is None else from_plain(Score, found, f"{path}: scores[{metric}]")

    def is_evaluated(self, eval_id: str) -> bool:
        """Whether the evaluation is finished; its file is not read."""
        return os.path.isfile(self._evaluation_file(eval_id))

    def evaluation_error(self, eval_id: str) -> str:
        """The line of the traceback that names the error, or nothing where the evaluation has not failed."""
        path = self.evaluation_folder(eval_id) / "error.txt"
        if not path.is_file():
            return ""
        lines = path.read_text(encoding="utf-8").strip().splitlines() or ["no word of why"]
        return next((line for line in reversed(lines) if _NAMES_ERROR.match(line)), lines[-1])

    def evaluation_error_time(self, eval_id: str) -> float:
        """When the evaluation failed, in seconds since the epoch; 0 where it has not."""
        path = self.evaluation_folder(eval_id) / "error.txt"
        return path.stat().st_mtime if path.is_file() else 0.0

    def evaluations(self) -> Iterator[Evaluation]:
        if self._evaluations.is_dir():
            for path in sorted(self._evaluations.iterdir()):
                found = self.evaluation(path.name)
                if found is not None:
                    yield found

    def evaluated_subjects(self, known: Mapping[str, str] | None = None) -> Iterator[tuple[str, str | None]]:
        """(eval id, subject) of every finished evaluation; None where it names none. Those ``known`` are not read."""
        names = sorted(os.listdir(self._evaluations)) if self._evaluations.is_dir() else []
        for name in names:
            if known and name in known:
                yield name, known[name]
                continue
            try:
                with open(self._evaluation_file(name), encoding="utf-8") as stream:
                    match = _SUBJECT.search(stream.read())
            except (FileNotFoundError, NotADirectoryError):
                continue
            yield name, json.loads(match[1]) if match else None

    def evaluation_holder(self, eval_id: str) -> Holder | None:
        """The process that is judging, or None."""
        return holder_of(self.evaluation_folder(eval_id))

    def write_study(self, study: Study) -> None:
        """Keep what was asked for, so that a copy of the store can be reported without data or study file."""
        write_json(self.root / "studies" / f"{study.name}.json", study.to_json())

    def study_json(self, name: str) -> dict[str, Any] | None:
        """What :meth:`write_study` kept of the study called ``name``, or None."""
        path = self.root / "studies" / f"{name}.json"
        data: dict[str, Any] | None = read_json(path) if path.is_file() else None
        return data

    def write_evaluation(self, evaluation: Evaluation) -> None:
        folder = self.evaluation_folder(evaluation.eval_id)
        write_json(folder / "evaluation.json", to_plain(evaluation))
        (folder / "error.txt").unlink(missing_ok=True)

    def write_evaluation_error(self, eval_id: str, text: str) -> None:
        folder = self.evaluation_folder(eval_id)
        with written_beside(folder / "error.txt") as temporary:
            temporary.write_text(text, encoding="utf-8")
