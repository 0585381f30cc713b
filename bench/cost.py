"""What a study costs in GPU-hours, from the speed that its runs were measured at. Free of torch.

A run's cost is its images (steps times batch) over its images per second, times its GPUs. Nothing is guessed: a row
that has not run has no cost yet, and a few hundred steps of it are enough to know it (the first steps are slower).
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.job_records import JobRecords
from bench.lives import lives
from bench.plan import training_key
from bench.run_spec import RunSpec
from bench.store import RunFolder, Store
from bench.study import Study


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """One row on one data set."""

    label: str
    dataset: str
    runs: int
    """One for each seed."""
    images: int
    """That one run draws: steps times batch."""
    images_per_s: float | None = None
    """Over all ranks, as last measured; None: none of the runs has begun."""
    ranks: int = 1
    """Ranks of that measurement."""
    on_gpus: bool = False
    """Whether it was made on GPUs."""
    memory_gib: float | None = None
    """The most that the first rank's GPU (or process) held."""
    hardware: str = ""
    """The GPU's name, or the processor's, of that measurement."""
    multiply_adds: int | None = None
    """Of the generator for one image; None: not recorded (or nothing has begun)."""

    @property
    def hours(self) -> float | None:
        """Of one run, from its first step to its last."""
        return self.images / self.images_per_s / 3600 if self.images_per_s else None

    @property
    def rank_hours(self) -> float | None:
        """Of one run, all ranks together: GPU-hours where it ran on GPUs."""
        return self.hours * self.ranks if self.hours is not None else None


def study_costs(study: Study, store: Store) -> list[RunCost]:
    """The cost of every row on every data set, in the order of the study."""
    rows: dict[tuple[str, str], list[RunSpec]] = {}
    for row, dataset, _, run in study.cells():
        rows.setdefault((row.label, dataset.ref.name), []).append(run)
    return [_cost(label, dataset, runs, store) for (label, dataset), runs in rows.items()]


def told_cost(study: Study, store: Store) -> str:
    """One line for the plan: what training costs where the speed of a row is known, and how the rest gets known."""
    costs = study_costs(study, store)
    parts = []
    for unit, on_gpus in (("GPU-hours", True), ("CPU process-hours", False)):
        known = [item for item in costs if item.rank_hours is not None and item.on_gpus == on_gpus]
        if known:
            hours = sum(item.runs * (item.rank_hours or 0.0) for item in known)
            parts.append(f"{hours:,.{0 if hours >= 10 else 1}f} {unit} for {len(known)} of {len(costs)} rows")
    unknown = sum(item.rank_hours is None for item in costs)
    if unknown:
        parts.append(
            f"{unknown} of {len(costs)} rows have not run yet, so their cost is unknown: a few hundred steps of each "
            f"tell"
        )
    return f"training, by measured speed: {'; '.join(parts)} (row by row: cluster cost {study.name})"


def _cost(label: str, dataset: str, runs: list[RunSpec], store: Store) -> RunCost:
    training = runs[0].training
    cost = RunCost(label=label, dataset=dataset, runs=len(runs), images=training.steps * training.batch_images)
    for run in runs:
        folder = store.run(run)
        speed = folder.status().images_per_s
        if speed:
            provenance = folder.provenance()
            hardware = provenance.get("hardware")
            told = hardware if isinstance(hardware, dict) else {}
            gpus = told.get("gpus") or []
            multiply_adds = provenance.get("generator_multiply_adds")
            return RunCost(
                label=cost.label,
                dataset=cost.dataset,
                runs=cost.runs,
                images=cost.images,
                images_per_s=speed,
                ranks=ranks_of(training_key(run.run_id), store),
                on_gpus=bool(gpus),
                memory_gib=_memory_gib(folder),
                hardware=str(gpus[0] if gpus else told.get("processor", "")),
                multiply_adds=multiply_adds if isinstance(multiply_adds, int) else None,
            )
    return cost


def ranks_of(key: str, store: Store) -> int:
    """Ranks of the newest life of the job ``key``, if a backend started it; one where it ran in a process by itself."""
    started = lives(store.job_folder(key))
    if started:
        return started[-1].ranks
    record = JobRecords(store).latest(key)
    return record.nodes * record.ranks_per_node if record is not None else 1


def _memory_gib(folder: RunFolder) -> float | None:
    held = [row["memory_mib"] for row in folder.metrics() if "memory_mib" in row]
    return max(held) / 1024 if held else None
