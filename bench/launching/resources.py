"""What a run will need: memory of each GPU, and room on the disk. Estimates, made before anything is submitted.

The model, per rank: the most that the tensors of a training step hold at once (``bench.launching.memory`` executes the
step without data), the gradients once more where several ranks average them, a tenth for the allocator's
fragmentation, and 1.5 GiB for the CUDA context, cuDNN's and cuBLAS's workspaces and NCCL. The last two are assumptions:
we have not measured a GPU yet. Scoring during training (a judge beside the networks) is not in the model.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.atomic import cache_folder, read_json, write_json
from bench.data.registry import SYNTHETIC_IMAGES, dataset_spec
from bench.launching.profile import ClusterProfile
from bench.plain import content_hash
from bench.plan import Action
from bench.run_spec import RunSpec, norm_group_images
from bench.store import Store

GIB = 2.0**30
FRAGMENTATION = 1.1
FIXED_GIB = 1.5
BF16_ACTIVATIONS = 0.6
"""Memory beyond the lasting states with bf16 autocast, as a share of that in float32 (0.57 for the SPADE decoder)."""
PNG_SHARE = 0.65
"""Size of a generated PNG as a share of its pixels' bytes."""
_LISTED = 20
_PROJECT = Path(__file__).resolve().parents[2]


class DoesNotFitError(ValueError):
    """Runs of a study do not fit the GPUs, the ranks or the disk; the message lists them with what to do."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one training run needs."""

    gpu_gib: float | None
    """Memory of each GPU; None where it could not be estimated."""
    why_not: str = ""
    """Why it could not."""
    checkpoint_gib: float = 0.0
    """One full-state checkpoint."""
    disk_gib: float = 0.0
    """All that the run and its evaluation leave on the disk, at most."""


def training_need(run: RunSpec, ranks: int) -> Need:
    """The estimate for a run on ``ranks`` ranks; networks of equal architecture are worked out once and kept."""
    part_images = max(1, run.training.batch_images // (ranks * run.training.accumulate))
    spec = dataset_spec(run.dataset.name).spec
    work = [
        type(run.generator).__name__,
        run.generator,
        run.recipe,
        spec,
        run.dataset.size,
        run.training.accumulate,
        _code_digest(),
    ]
    key = content_hash([*work, part_images, bool(run.training.ema_halflife_images)])[:16]
    kept = cache_folder() / "step_memory" / f"{key}.json"
    if kept.is_file():
        told = read_json(kept)
    else:
        from bench.launching.memory import step_memory

        try:
            told = asdict(step_memory(run, spec, part_images))
        except (NotImplementedError, RuntimeError) as error:  # an operation that torch cannot execute without data
            return Need(gpu_gib=None, why_not=str(error).splitlines()[0][:200])
        write_json(kept, told)
    transient = told["peak"] - told["lasting"]
    if run.training.precision == "bf16":
        transient *= BF16_ACTIVATIONS
    held = told["lasting"] + transient + (told["gradients"] if ranks > 1 else 0)
    checkpoint = told["checkpoint"] / GIB
    return Need(
        gpu_gib=held / GIB * FRAGMENTATION + FIXED_GIB,
        checkpoint_gib=checkpoint,
        disk_gib=checkpoint * _checkpoints(run) + _pictures_gib(run),
    )


def _checkpoints(run: RunSpec) -> int:
    """Checkpoints that lie on the disk at once: those that are kept, the best one, and the one being written."""
    return run.training.keep_checkpoints + 1 + int(run.training.selection == "best")


def _pictures_gib(run: RunSpec) -> float:
    """The generated validation images, PNG."""
    height, width = run.dataset.size
    entry = dataset_spec(run.dataset.name)
    known = SYNTHETIC_IMAGES if not entry.needs_root else entry.official_pairs
    images = run.dataset.val_images or known.get("val", 5000)
    return images * height * width * 3 * PNG_SHARE / GIB


def _code_digest() -> str:
    """Changes with any line of the networks, losses and steps."""
    digest = hashlib.sha256()
    for package in ("spade_core", "baselines"):
        for path in sorted((_PROJECT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    digest.update((_PROJECT / "bench" / "launching" / "memory.py").read_bytes())
    return digest.hexdigest()


def check_ranks(actions: Iterable[Action], ranks: int, chosen_by: str = "--nodes times --gpus-per-node") -> None:
    """Raises DoesNotFitError listing the trainings that cannot run on so many ranks, each with what to do."""
    problems: dict[str, None] = {}
    for action in actions:
        run = action.job.run
        if not action.runs or action.job.kind != "train" or run is None:
            continue
        training = run.training
        if training.batch_images % (ranks * training.accumulate):
            problems[
                f"{action.job.title}: batch {training.batch_images} in {training.accumulate} part(s) cannot be shared "
                f"by {ranks} ranks; choose ranks that divide {training.batch_images // training.accumulate}"
            ] = None
            continue
        norm = getattr(run.generator, "norm", "instance")
        group = norm_group_images(norm, training.batch_images, training.accumulate, ranks)
        if group != training.norm_group_images:
            problems[
                f"{action.job.title}: its batch statistics are over {training.norm_group_images} images (the study's "
                f"ranks), with {ranks} ranks over {group}; use the study's number of ranks, or change Study.ranks"
            ] = None
    if problems:
        listed = _listed(list(problems))
        raise DoesNotFitError(f"these runs do not fit {ranks} ranks ({chosen_by}):\n  {listed}")


def estimate(
    actions: Sequence[Action], ranks: int, report: Callable[[int, int], None] = lambda done, of: None
) -> dict[str, Need]:
    """The need of every training that is to run, by job key; ``report`` hears (done, of)."""
    todo = [action.job for action in actions if action.runs and action.job.kind == "train"]
    needs: dict[str, Need] = {}
    alike: dict[str, Need] = {}
    for number, job in enumerate(todo):
        assert job.run is not None
        same = content_hash({**job.run.to_json(), "seed": 0, "run_id": ""})
        if same not in alike:
            report(number, len(todo))
            alike[same] = training_need(job.run, ranks)
        needs[job.key] = alike[same]
    report(len(todo), len(todo))
    return needs


def check_fit(actions: Sequence[Action], needs: dict[str, Need], profile: ClusterProfile, store: Store) -> None:
    """Raises DoesNotFitError where a run does not fit the profile's GPUs, or all of them the free disk."""
    limit = profile.gpu_memory_gib
    large = [
        f"{action.job.title}: about {need.gpu_gib:.1f} GiB on each GPU"
        for action in actions
        if (need := needs.get(action.job.key)) is not None
        and need.gpu_gib is not None
        and need.gpu_gib > (limit or 1e9)
    ]
    problems = []
    if large:
        problems.append(
            f"the GPUs of profile {profile.name} have {limit:g} GiB (gpu_memory_gib), and these runs need more:\n  "
            + "\n  ".join(large)
            + "\nuse more ranks (--nodes, --gpus-per-node: each then has fewer images), split each rank's share "
            "(accumulate; batch statistics change with it), or bf16. These are estimates (docs/cluster.md); a profile "
            "without gpu_memory_gib refuses nothing"
        )
    wanted, free = sum(need.disk_gib for need in needs.values()), free_gib(store.root)
    if wanted > free:
        problems.append(
            f"{store.root}: {free:.0f} GiB are free there, and these runs leave up to {wanted:.0f} GiB (checkpoints "
            f"and generated images); make room, choose another --store, keep fewer checkpoints, or run fewer rows"
        )
    if problems:
        raise DoesNotFitError("\n".join(problems))


def _listed(lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n  ".join([*lines[:_LISTED], *more])


def free_gib(folder: Path) -> float:
    """Free space where ``folder`` is, or will be. Quotas are seen only where the file system tells them so."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free / GIB
