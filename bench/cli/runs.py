"""The verb of a single run: train."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_STORE, DataRootOption, DeviceOption, SizeOption, StoreOption, parse_size

if TYPE_CHECKING:
    from baselines.recipe import Recipe
    from baselines.variant import Variant
    from bench.run_spec import DatasetRef, RunSpec
    from bench.store import Store


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.command("train")(train)


def train(
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="A registered variant (see `list variants`).")],
    dataset: Annotated[str, typer.Option("--dataset", metavar="NAME", help="Data set (see `list datasets`).")],
    root: DataRootOption = None,
    size: SizeOption = None,
    store: StoreOption = DEFAULT_STORE,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="code, paper, crn, ...", show_default="the variant's first")
    ] = None,
    switch: Annotated[
        list[str] | None,
        typer.Option(
            "--switch",
            metavar="NAME",
            help="Take a technique out or put one in (may be repeated): no-perceptual, no-hinge, no-ttur, vae, ...",
        ),
    ] = None,
    width: Annotated[int | None, typer.Option(help="Width of the generator (released: ngf 64).")] = None,
    discriminator_width: Annotated[
        int | None, typer.Option(help="Width of the discriminator (released: ndf 64).")
    ] = None,
    encoder_width: Annotated[
        int | None, typer.Option(help="Width of the image encoder, for --switch vae and spade-vae (released: ngf 64).")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimisation steps, at constant rates.", show_default="--epochs")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the data, at constant rates.", show_default="the recipe's schedule")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Global batch over all ranks.", show_default="the recipe's")] = None,
    accumulate: Annotated[int, typer.Option(help="Split each rank's share in so many parts to save memory.")] = 1,
    train_images: Annotated[int | None, typer.Option(help="Use the first so many training images.")] = None,
    val_images: Annotated[int | None, typer.Option(help="Judge on the first so many validation images.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order, augmentation and noise.")] = 0,
    precision: Annotated[
        str, typer.Option(metavar="float32|bf16", help="Arithmetic of the forward passes.")
    ] = "float32",
    tf32: Annotated[bool, typer.Option(help="Let float32 products use TensorFloat-32.")] = False,
    ema_halflife_images: Annotated[int | None, typer.Option(help="Keep a moving average with this half-life.")] = None,
    eval_every: Annotated[int | None, typer.Option(help="Score the generator every so many steps.")] = None,
    select: Annotated[str, typer.Option(metavar="last|best", help="Which checkpoint is reported.")] = "last",
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 1000,
    sample_every: Annotated[int, typer.Option(help="Steps between sample pictures.")] = 1000,
    log_every: Annotated[int, typer.Option(help="Steps between lines of metrics.")] = 50,
    keep: Annotated[int, typer.Option(help="Newest checkpoints that stay.")] = 2,
    workers: Annotated[int, typer.Option(help="Loader processes per rank.")] = 0,
    device: DeviceOption = "auto",
) -> None:
    """Train one variant without a study; the same command again resumes it.

    On several GPUs: torchrun --nproc-per-node 8 run_study.py train spade-decoder --dataset coco_stuff --root DIR
    """
    import os

    from bench.data.opening import dataset_ref
    from bench.run_spec import RunSpec, Training, norm_group_images
    from bench.store import Store

    chosen = _chosen_variant(variant, dataset, switch or [], width)
    chosen_recipe = chosen.recipe(recipe)
    if discriminator_width is not None:
        if chosen_recipe.discriminator is None:
            raise ValueError(f"recipe {chosen_recipe.name!r} has no discriminator; leave --discriminator-width out")
        narrowed = replace(chosen_recipe.discriminator, width=discriminator_width)
        chosen_recipe = replace(chosen_recipe, discriminator=narrowed)
    if encoder_width is not None:
        if chosen_recipe.encoder is None:
            raise ValueError(
                f"--encoder-width {encoder_width}: variant {chosen.name!r} has no image encoder; add --switch vae, "
                f"train spade-vae, or leave it out"
            )
        chosen_recipe = replace(chosen_recipe, encoder=replace(chosen_recipe.encoder, width=encoder_width))
    ref = dataset_ref(dataset, size=parse_size(size), train_images=train_images, val_images=val_images, root=root)
    global_batch = batch if batch is not None else chosen_recipe.batch_images
    total, decay = _length(ref, chosen_recipe, steps, epochs, global_batch)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    norm = getattr(chosen.generator, "norm", "instance")
    spec = RunSpec(
        variant=chosen.name,
        generator=chosen.generator,
        recipe=chosen_recipe,
        dataset=ref,
        training=Training(
            steps=total,
            batch_images=global_batch,
            accumulate=accumulate,
            norm_group_images=norm_group_images(norm, global_batch, accumulate, ranks),
            precision=precision,  # type: ignore[arg-type]
            tf32=tf32,
            decay=decay,
            ema_halflife_images=ema_halflife_images,
            selection=select,  # type: ignore[arg-type]
            eval_every_steps=eval_every,
            save_every_steps=save_every,
            sample_every_steps=sample_every,
            log_every_steps=log_every,
            keep_checkpoints=keep,
            loader_workers=workers,
        ),
        seed=seed,
    )
    _execute(spec, Store(store), device, first=int(os.environ.get("RANK", "0")) == 0)


def _chosen_variant(name: str, dataset: str, switches: list[str], width: int | None) -> Variant:
    from baselines.registry import get_variant
    from baselines.switches import switched
    from bench.data.fitting import fitted
    from bench.data.registry import dataset_spec

    chosen = switched(get_variant(name), switches)
    chosen = fitted(chosen, dataset_spec(dataset).upsampling)
    return chosen.scaled(width=width) if width is not None else chosen


def _length(ref: DatasetRef, recipe: Recipe, steps: int | None, epochs: int | None, batch: int) -> tuple[int, bool]:
    """(steps, whether the recipe's schedule acts)."""
    from bench.data.opening import images_of, open_split

    if steps is not None and epochs is not None:
        raise ValueError(f"--steps {steps} and --epochs {epochs} both say how long; give one")
    if steps is not None:
        return steps, False
    images = images_of(ref, open_split(ref, "train"))
    if epochs is not None:
        return math.ceil(epochs * images / batch), False
    schedule = recipe.schedules.get(ref.name)
    if schedule is None:
        known = ", ".join(recipe.schedules) or "none"
        raise ValueError(
            f"recipe {recipe.name!r} has no schedule for data set {ref.name!r} (it has: {known}); "
            f"give --steps or --epochs"
        )
    return math.ceil(schedule.epochs * images / batch), True


def _execute(spec: RunSpec, store: Store, device: str, *, first: bool) -> None:
    folder = store.run(spec)
    if folder.status().state == "done":
        if first:
            print(f"{folder.name}: finished already")
    else:
        from rich.console import Console

        from bench.launching.progress import ProgressLine
        from bench.launching.training_job import train_job

        if first:
            print(f"run {folder.name}")
        with ProgressLine(Console(), f"train {spec.variant}") as line:
            finished = train_job(spec, store, device=device, progress=line.update)
        if not finished:
            if first:
                print("stopped, the state is saved; the same command goes on")
            raise typer.Exit(130)
    if first:
        print(f"folder {folder.path}\nscore it: ./run_study.py evaluate --run {spec.run_id} --store {store.root}")
