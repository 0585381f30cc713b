"""The one training loop. What a step does belongs to the recipe (baselines/steps); who runs it, to the launcher."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from baselines.building import build_networks, count_multiply_adds
from baselines.perceptual import load_perceptual
from baselines.steps import Networks, TrainingStep, build_step
from bench.data.dataset import Dataset
from bench.provenance import provenance
from bench.run_spec import RunSpec, norm_group_images
from bench.store import RunFolder
from bench.training.checkpoint import checkpoint_steps, prune_checkpoints, resume, save_checkpoint
from bench.training.distributed import Ranks, StopVote
from bench.training.ema import MovingAverage
from bench.training.loader import StreamSettings, batches
from bench.training.logs import Meter, Report, RunLog, check_finite, check_finite_weights, memory_mib
from bench.training.samples import save_samples
from spade_core.label_spec import LabelSpec


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What a launcher may add to the loop without the loop knowing it."""

    should_stop: Callable[[], bool] = lambda: False
    """Asked at step boundaries; the ranks stop together, save, and the run counts as interrupted."""
    report: Report = lambda step, values: None
    """Draws progress."""
    alive: Callable[[str], None] = lambda what: None
    """Called on every rank with what was just done: a step, a score, a checkpoint."""
    score: Callable[[nn.Module, int], Mapping[str, float]] | None = None
    """Scores the generator (in eval mode) every ``eval_every_steps``."""
    scored_by: Mapping[str, Any] = field(default_factory=dict)
    """What these scores are made by (protocol, number of images); written beside them."""


def train(
    run: RunSpec, folder: RunFolder, train_split: Dataset, val_split: Dataset, ranks: Ranks, hooks: Hooks | None = None
) -> bool:
    """Train ``run`` in ``folder`` until its last step, from its newest checkpoint if it has one.

    Returns whether the run is finished; False: a hook asked to stop, and the state is saved. Every rank of the job
    calls this with its own ``ranks``. Raises DivergedError when a loss is not finite, ValueError when the run does
    not fit its ranks.
    """
    hooks = hooks or Hooks()
    settings = run.training
    check_norm_group(run, ranks)

    # Numerics that are part of the run's identity.
    torch.manual_seed(run.seed)
    torch.backends.cuda.matmul.allow_tf32 = settings.tf32
    torch.backends.cudnn.allow_tf32 = settings.tf32

    # Networks, optimisers, moving average.
    networks = build_networks(run.generator, run.recipe, train_split.spec, run.dataset.size, run.seed)
    for network in networks.named().values():
        network.to(ranks.device).train()
    work = build_step(run.recipe, networks, perceptual_network(run, ranks.device))
    if settings.precision == "bf16":
        work.autocast = lambda: torch.autocast(ranks.device.type, dtype=torch.bfloat16)
    average = None
    if settings.ema_halflife_images is not None:
        halflife = settings.ema_halflife_images
        average = MovingAverage(networks.generator, halflife_images=halflife, batch_images=settings.batch_images)

    # Where the run stands: resumed state, attempt, provenance.
    notes: list[str] = []
    step = resume(
        folder.checkpoints, run_id=run.run_id, work=work, average=average, ranks=ranks, on_damage=notes.append
    )
    work.distribute(ranks.wrap)
    spec = train_split.spec
    attempt = ranks.broadcast(begin(run, folder, networks, spec, step, notes) if ranks.first else None)
    log = RunLog(folder, ranks, first_step=step, steps=settings.steps, attempt=attempt, note="; ".join(notes))
    vote = StopVote(ranks, first_step=step)
    hooks.alive(f"ready to go on after step {step}")
    meter, logged_step, seconds = Meter(), step, None
    best = ranks.broadcast(best_step(folder) if settings.selection == "best" and ranks.first else None)

    # Data: the batches of the steps that are left.
    images = min(len(train_split), run.dataset.train_images or len(train_split))
    stream = StreamSettings(
        seed=run.seed, batch_images=settings.batch_images, accumulate=settings.accumulate, z_dim=z_dim_of(run)
    )
    remaining = batches(
        train_split,
        stream,
        ranks,
        first_step=step,
        last_step=settings.steps,
        images=images,
        workers=settings.loader_workers,
    )

    for parts in remaining:
        # Learning rates of this epoch.
        factor = rate_factor(run, step, images)
        for role, optimizer in work.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = base_rate(run, role) * factor
        work.epoch = epoch_of(run, step, images)

        # One update of every network.
        losses = work(parts)
        step += 1
        meter.add(losses)
        if average is not None:
            average.update(networks.generator)
        stopping = vote.agreed(step, hooks.should_stop())
        last = step == settings.steps

        # Losses: read, checked, written.
        saving = last or stopping or step % settings.save_every_steps == 0
        scoring = is_scored(run, hooks, step)
        if saving or scoring or step % settings.log_every_steps == 0:
            means, seconds = meter.read(ranks)
            check_finite(means, since=logged_step, step=step)
            logged_step = step
            values = {
                **means,
                "images_per_s": settings.batch_images / seconds,
                "memory_mib": memory_mib(ranks.device),
                "epoch": step * settings.batch_images / images,
                "learning_rate": base_rate(run, "generator") * factor,
            }
            log.record(step, values)
            hooks.report(step, values)
        else:
            hooks.report(step, {})
        log.beat(step, seconds)
        hooks.alive(f"step {step}")

        # Pictures and scores of the generator as it is.
        shown = average.network if average is not None else networks.generator
        if ranks.first and (last or step % settings.sample_every_steps == 0):
            save_samples(shown, val_split, folder.samples / f"step_{step:08d}.png", ranks.device, z_dim_of(run))
        if scoring and hooks.score is not None:
            with evaluating(shown):
                scores = hooks.score(shown, step)
            hooks.alive(f"score of step {step}")
            log.record(step, {f"score/{name}": value for name, value in scores.items()}, hooks.scored_by)
            if settings.selection == "best" and (best is None or selecting_score(scores, run) > best[1]):
                best = (step, selecting_score(scores, run))
                saving = True

        # Full state, whole or not at all.
        if saving:
            check_finite_weights(work, step)
            save_checkpoint(folder.checkpoints, run_id=run.run_id, step=step, work=work, average=average, ranks=ranks)
            hooks.alive(f"checkpoint of step {step}")
            if ranks.first:
                prune_checkpoints(folder.checkpoints, settings.keep_checkpoints, {best[0]} if best else set())
        if stopping and step < settings.steps:
            log.close()
            return False

    log.finish(step)
    ranks.barrier()
    return True


def begin(run: RunSpec, folder: RunFolder, networks: Networks, spec: LabelSpec, step: int, notes: list[str]) -> int:
    """Write the run's specification and provenance; returns the number of this attempt."""
    for note in notes:
        warnings.warn(note, stacklevel=3)
    folder.create(run)
    folder.forget_errors()
    attempt = folder.attempts + 1
    counts: dict[str, object] = {
        f"{role}_parameters": sum(p.numel() for p in net.parameters()) for role, net in networks.named().items()
    }
    try:
        counts["generator_multiply_adds"] = count_multiply_adds(run.generator, spec, run.dataset.size)
    except Exception as error:  # a network that needs data to run: no reason not to train it, and its cost is unknown
        counts["generator_multiply_adds_unknown"] = f"{type(error).__name__}: {error}"
    folder.write_provenance({**provenance(), **counts, "seed": run.seed, "first_step": step, "notes": notes}, attempt)
    return attempt


def perceptual_network(run: RunSpec, device: torch.device) -> nn.Module | None:
    """The recipe's perceptual network where it has a weight; its file must be there (MissingWeightsError says how)."""
    if not run.recipe.perceptual_weight:
        return None
    from bench.evaluation.weights import require_weights

    name = run.recipe.perceptual_network
    return load_perceptual(name, require_weights(name)).to(device)


def check_norm_group(run: RunSpec, ranks: Ranks) -> None:
    """Raises ValueError when these ranks would normalise over another number of images than the run's identity says."""
    settings = run.training
    norm = getattr(run.generator, "norm", "instance")
    group = norm_group_images(norm, settings.batch_images, settings.accumulate, ranks.world)
    if group != settings.norm_group_images:
        raise ValueError(
            f"run {run.name}: its batch statistics are over {settings.norm_group_images} images, but {ranks.world} "
            f"ranks with accumulate={settings.accumulate} normalise over {group}; that is another run. Change the "
            f"ranks, or ask for norm_group_images={group}"
        )


def z_dim_of(run: RunSpec) -> int | None:
    """Length of z where the run needs noise: a generator that starts from z, or an image encoder."""
    if getattr(run.generator, "source", "segmap") == "z" or run.recipe.encoder is not None:
        return int(getattr(run.generator, "z_dim", 256))
    return None


def base_rate(run: RunSpec, role: str) -> float:
    """The recipe's learning rate of an optimiser."""
    recipe = run.recipe
    return recipe.learning_rate_discriminator if role == "discriminator" else recipe.learning_rate_generator


def rate_factor(run: RunSpec, step: int, images: int) -> float:
    """What the schedule multiplies the rates with in the step after ``step`` steps."""
    schedule = run.schedule
    return schedule.factor(epoch_of(run, step, images)) if schedule is not None else 1.0


def epoch_of(run: RunSpec, step: int, images: int) -> int:
    """The epoch, from 1, in which the update after ``step`` steps begins."""
    return step * run.training.batch_images // images + 1


def best_step(folder: RunFolder) -> tuple[int, float] | None:
    """(step, mIoU) of the best score so far among the checkpoints that are still there, or None."""
    kept = set(checkpoint_steps(folder.checkpoints))
    scored = [
        (row["step"], row["score/mIoU"]) for row in folder.metrics() if "score/mIoU" in row and row["step"] in kept
    ]
    return max(scored, key=lambda item: (item[1], -item[0]), default=None)


def is_scored(run: RunSpec, hooks: Hooks, step: int) -> bool:
    """Whether the generator is scored after ``step``; an interruption adds none, it could change the choice."""
    every = run.training.eval_every_steps
    return hooks.score is not None and every is not None and (step % every == 0 or step == run.training.steps)


def selecting_score(scores: Mapping[str, float], run: RunSpec) -> float:
    """The score that ``selection="best"`` goes by. Raises ValueError where the data set's protocol gave none."""
    if "mIoU" not in scores:
        raise ValueError(
            f"run {run.name}: selection is 'best' but no mIoU could be computed for {run.dataset.name} (scores: "
            f"{', '.join(scores) or 'none'}; is the judge's weights file there? see `list weights`); "
            f"use selection 'last'"
        )
    return scores["mIoU"]


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Any:
    """``network`` in eval mode without gradients, and back in its mode afterwards."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield network
    finally:
        network.train(training)


__all__ = ["Hooks", "TrainingStep", "train"]
