"""One pass over stores: every evaluation with what was trained for it. Reads plain JSON; free of torch and pandas."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from baselines.registry import get_variant
from bench.atomic import read_json
from bench.plain import content_hash
from bench.run_spec import RunSpec, Training
from bench.store import Store

Progress = Callable[[int, int, str], None]
"""Called with (done, of, what)."""
REAL = "real"
_EXTERNAL = "external:"
_TOLD_EVERY = 50
_COMMIT_DIGITS = 10


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What is ranked: one way of training, whatever the seed; or imported images, or the real ones."""

    key: str
    """Equal exactly for equal ways."""
    variant: str
    provenance: str
    recipe: str = ""
    settings: str = ""
    steps: int | None = None
    batch_images: int | None = None


@dataclass(frozen=True, kw_only=True)
class JudgedRun:
    """One evaluation: whose, by what, with which scores."""

    trained: Trained
    eval_id: str
    run_id: str
    seed: int | None
    step: int | None
    weights: str
    selection: str
    noise_seed: int
    dataset: str
    size: tuple[int, int]
    val_manifest: str
    images: int
    protocol: str
    protocol_sha256: str
    files: Mapping[str, str]
    """sha256 of the judge's and the extractors' files by name; ``missing`` where one was not there."""
    scores: Mapping[str, tuple[float | None, str]]
    """(value, reason) by metric."""
    params: int | None = None
    commit: str = ""


@dataclass(kw_only=True)
class Scanned:
    """What was found."""

    runs: list[JudgedRun] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What was passed over, with the reason."""
    copies: int = 0
    """Evaluations that a store before held already."""


def scan(stores: Sequence[Store], progress: Progress = lambda done, of, what: None) -> Scanned:
    """Every evaluation of the stores, each once, in the order of their ids.

    What cannot be read is told in ``problems`` and passed over. Raises ValueError for a folder that is no store.
    """
    found: dict[str, JudgedRun] = {}
    told = Scanned()
    ways = _Ways()
    folders = [(store, path) for store in stores for path in _evaluation_folders(store)]
    for number, (store, folder) in enumerate(folders, start=1):
        if number % _TOLD_EVERY == 0 or number == len(folders):
            progress(number, len(folders), f"evaluations of {store.root}")
        file = folder / "evaluation.json"
        if folder.name in found:
            told.copies += 1
            continue
        try:
            found[folder.name] = _judged(store, ways, read_json(file), file)
        except FileNotFoundError as error:
            if Path(str(error.filename)) != file:  # an evaluation that goes on, or has failed, has no file yet
                told.problems.append(f"{file}: {error.filename} is missing")
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            line = f"no field {error}" if isinstance(error, KeyError) else (str(error).splitlines() or [""])[0]
            told.problems.append(line if line.startswith(str(store.root)) else f"{file}: {line}")
    told.runs = [found[name] for name in sorted(found)]
    return told


def _evaluation_folders(store: Store) -> Iterable[Path]:
    if not store.root.is_dir():
        raise ValueError(f"{store.root}: there is no such store; give the folder that holds runs/ and evaluations/")
    folder = store.evaluation_folder("")
    if not folder.is_dir():
        if any((store.root / name).is_dir() for name in ("runs", "jobs", "studies")):
            return []
        raise ValueError(f"{store.root} is no store: it has no folder evaluations/ (nor runs/, jobs/, studies/)")
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _judged(store: Store, ways: _Ways, data: Mapping[str, Any], file: Path) -> JudgedRun:
    spec = data["spec"]
    subject, run_id = str(spec["subject"]), spec["run_id"]
    told: Mapping[str, Any] = {}
    seed: int | None = None
    if run_id is not None:
        folder = store.root / "runs" / subject
        trained, seed = ways.of_run(read_json(folder / "run.json"), folder / "run.json")
        provenance = folder / "provenance.json"
        told = read_json(provenance) if provenance.is_file() else {}
    elif subject == REAL:
        trained = Trained(key=REAL, variant=REAL, provenance="real images")
    else:
        name = subject.removeprefix(_EXTERNAL)
        trained = Trained(key=subject, variant=name, provenance="external")
    data_spec = spec["dataset"]
    height, width = data_spec["size"]
    commit = str(told.get("commit") or "")[:_COMMIT_DIGITS]
    params = told.get("generator_parameters")
    return JudgedRun(
        trained=trained,
        eval_id=str(data["eval_id"]),
        run_id=run_id or "",
        seed=seed,
        step=spec.get("step"),
        weights=str(spec.get("weights", "raw")),
        selection=str(spec.get("selection", "last")),
        noise_seed=int(spec.get("noise_seed", 0)),
        dataset=str(data_spec["name"]),
        size=(int(height), int(width)),
        val_manifest=str(data_spec.get("val_manifest", "")),
        images=int(data["images"]),
        protocol=str(spec["protocol"]),
        protocol_sha256=str(spec["protocol_sha256"]),
        files=dict(spec.get("weights_sha256", {})),
        scores={name: (score["value"], score.get("reason", "")) for name, score in data["scores"].items()},
        params=params if isinstance(params, int) else None,
        commit=commit + "+" if commit and told.get("dirty") else commit,
    )


class _Ways:
    """Ways of training by their text, so that seeds of one way are understood once."""

    def __init__(self) -> None:
        self._known: dict[str, Trained] = {}

    def of_run(self, data: Mapping[str, Any], file: Path) -> tuple[Trained, int]:
        """The way of a ``run.json``, and its seed."""
        seed = int(data["seed"])
        text = json.dumps({name: value for name, value in data.items() if name not in ("run_id", "seed")})
        if text not in self._known:
            self._known[text] = _trained(data, file)
        return self._known[text], seed


def _trained(data: Mapping[str, Any], file: Path) -> Trained:
    try:
        registered = get_variant(data["variant"])
    except ValueError:  # of another installation: ranked all the same, by what its file says
        rest = {name: value for name, value in data.items() if name not in ("run_id", "seed")}
        return Trained(
            key=content_hash(rest)[:12],
            variant=str(data["variant"]),
            provenance="unregistered",
            recipe=str(data["recipe"]["name"]),
            steps=data["training"]["steps"],
            batch_images=data["training"]["batch_images"],
        )
    spec = RunSpec.from_json(data, str(file))
    recipes = {recipe.name: recipe for recipe in registered.recipes}
    changes = _changes("", registered.generator, spec.generator)
    if spec.recipe.name in recipes:
        changes += _changes("", recipes[spec.recipe.name], spec.recipe)
    usual = Training(
        steps=spec.training.steps,
        batch_images=spec.training.batch_images,
        norm_group_images=spec.training.batch_images if spec.training.norm_group_images is not None else None,
        selection=spec.training.selection,
        eval_every_steps=spec.training.eval_every_steps,
    )
    changes += _changes("", usual, spec.training)
    if spec.dataset.train_images is not None:
        changes.append(f"{spec.dataset.train_images} training images")
    return Trained(
        key=(spec if spec.seed == 0 else replace(spec, seed=0)).run_id,
        variant=spec.variant,
        provenance=registered.provenance,
        recipe=spec.recipe.name,
        settings=", ".join(changes),
        steps=spec.training.steps,
        batch_images=spec.training.batch_images,
    )


def _changes(name: str, usual: Any, found: Any) -> list[str]:
    """``field=value`` of every field that changes weights and differs."""
    if is_dataclass(found) and not isinstance(found, type) and type(found) is type(usual):
        kept = [item.name for item in fields(found) if item.metadata.get("semantic", True)]
        return [
            change
            for item in kept
            for change in _changes(f"{name}.{item}" if name else item, getattr(usual, item), getattr(found, item))
        ]
    if usual == found:
        return []
    return [f"{name}={found:g}" if isinstance(found, float) else f"{name}={found}"]
