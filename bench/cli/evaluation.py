"""The verb of judging: evaluate."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_STORE, DataRootOption, DeviceOption, SizeOption, StoreOption, parse_size

if TYPE_CHECKING:
    from bench.run_spec import DatasetRef
    from bench.store import Evaluation


def register(app: typer.Typer) -> None:
    """Add this module's verb to the command line."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="A run of the store: name or run_id.")] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="A folder of images named <sample id>.png.")
    ] = None,
    imported: Annotated[
        str | None, typer.Option("--imported", metavar="NAME", help="Pictures that `import-images` took in.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="A released generator file (latest_net_G.pth).")
    ] = None,
    real: Annotated[bool, typer.Option("--real", help="The real validation images: the upper bound.")] = False,
    variant: Annotated[
        str | None, typer.Option("--variant", metavar="NAME", help="Architecture of --checkpoint, such as spade.")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Width of --checkpoint's generator, where it is not the variant's.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="NAME",
            help="How --checkpoint wants its label ids (`show dataset` lists them).",
            show_default="as the released code",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="Data set of --images, --imported, --checkpoint or --real."),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", metavar="NAME", help="See `list protocols`.", show_default="the data set's"),
    ] = None,
    root: DataRootOption = None,
    size: SizeOption = None,
    val_images: Annotated[int | None, typer.Option(help="Judge the first so many validation images.")] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="raw|ema", help="Which weights of --run.", show_default="raw")
    ] = None,
    step: Annotated[int | None, typer.Option(help="Checkpoint of --run.", show_default="the selected one")] = None,
    noise_seed: Annotated[int, typer.Option(help="Seed of z, for generators that take one.")] = 0,
    batch: Annotated[int, typer.Option(help="Images that feature networks see at once; no number depends on it.")] = 8,
    upper_bound: Annotated[
        bool, typer.Option(help="Judge the real images by the same protocol too (once a store).")
    ] = True,
    again: Annotated[bool, typer.Option("--again", help="Judge even where the store has the result.")] = False,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """Judge a run, a folder of images, imported pictures, a released checkpoint or the real images, by a protocol.

    \b
    evaluate --checkpoint latest_net_G.pth --variant spade --dataset coco_stuff --root DIR
    evaluate --images DIR --dataset cityscapes --protocol paper2019-cityscapes
    evaluate --real --dataset ade20k --protocol judge-check-ade20k    # does the judge give its published scores?

    Every file is checked before a network is loaded. The result is kept in the store; asking again prints it.
    """
    from rich.console import Console

    from bench.imports import find_import
    from bench.launching import judging
    from bench.launching.progress import ProgressLine
    from bench.store import Store
    from bench.training.distributed import joined_ranks

    given = {
        "--run": run,
        "--images": images,
        "--imported": imported,
        "--checkpoint": checkpoint,
        "--real": real or None,
    }
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise ValueError(f"give exactly one of {', '.join(given)}; given: {', '.join(named) or 'none'}")
    options: dict[str, object] = {
        "--dataset": dataset,
        "--root": root,
        "--size": size,
        "--variant": variant,
        "--width": width,
        "--labels": labels,
        "--step": step,
        "--weights": weights,
        "--val-images": val_images,
    }
    _refuse_unused(named[0], options)
    if checkpoint is not None and variant is None:
        raise ValueError(f"--checkpoint {checkpoint} needs --variant, the architecture of the file")
    opened = Store(store)
    taken = find_import(opened, imported, dataset) if imported is not None else None
    judged = dataset if run is None else opened.find_run(run).spec().dataset.name
    if taken is not None:
        judged = taken.dataset.name
    if judged is not None:
        _tell_missing(judged, protocol)
    # One group of ranks for both evaluations: a second one would meet what the first left in torchrun's store.
    with joined_ranks(device) as ranks:
        with ProgressLine(
            Console(), f"evaluate {run or images or imported or checkpoint or 'the real images'}"
        ) as line:
            work = judging.Judging(store=opened, device=device, batch_images=batch, again=again, progress=line.update)
            if run is not None:
                found = judging.judge_run(
                    work,
                    run,
                    protocol=protocol,
                    weights=weights or "raw",
                    step=step,
                    val_images=val_images,
                    noise_seed=noise_seed,
                )
            elif taken is not None:
                told = str(root) if root is not None else None
                found = judging.judge_imported(work, taken, protocol=protocol, root=told)
            else:
                ref = _reference(named[0], dataset, root, size, val_images)
                if images is not None:
                    found = judging.judge_images(work, images, ref, protocol=protocol)
                elif checkpoint is not None and variant is not None:
                    found = judging.judge_checkpoint(
                        work,
                        checkpoint,
                        variant,
                        ref,
                        width=width,
                        labels=labels,
                        protocol=protocol,
                        noise_seed=noise_seed,
                    )
                else:
                    found = judging.judge_real(work, ref, protocol=protocol)
        bound = found if real else None
        if upper_bound and not real:
            with ProgressLine(Console(), "evaluate the real images by the same protocol") as line:
                work = judging.Judging(store=opened, device=device, batch_images=batch, progress=line.update)
                bound = judging.judge_real(work, found.spec.dataset, protocol=found.spec.protocol)
    if ranks.first:
        _print(found, bound, variant if width is None else None, store)


_MEANINGLESS = {
    "--run": ("--dataset", "--root", "--size", "--variant", "--width", "--labels"),
    "--images": ("--variant", "--width", "--labels", "--step", "--weights"),
    "--imported": ("--variant", "--width", "--labels", "--step", "--weights", "--size", "--val-images"),
    "--checkpoint": ("--step", "--weights"),
    "--real": ("--variant", "--width", "--labels", "--step", "--weights"),
}


def _refuse_unused(source: str, options: dict[str, object]) -> None:
    """Raises ValueError naming the options that were given but mean nothing with ``source``."""
    given = [name for name in _MEANINGLESS[source] if options[name] is not None]
    if given:
        raise ValueError(f"{', '.join(given)} mean nothing with {source}; leave them out")


def _tell_missing(dataset: str, protocol: str | None) -> None:
    """Say which scores cannot be had before any image is made. Raises ValueError where none of them can."""
    from bench.data.registry import dataset_spec
    from bench.evaluation.metric_table import METRICS
    from bench.evaluation.protocols import protocol_for
    from bench.evaluation.weights import find_weights

    chosen = protocol_for(dataset_spec(dataset).name, protocol)
    missing = {name for name in chosen.weights_files if find_weights(name) is None}
    no_judge = bool(missing & set(chosen.judge_weights))
    if chosen.mmseg is not None and chosen.mmseg.checkpoint:
        no_judge = no_judge or not Path(chosen.mmseg.checkpoint).is_file()
    lost = [
        name
        for name in chosen.metrics
        if (no_judge if METRICS[name].kind == "segmentation" else missing & set(METRICS[name].weights))
    ]
    if len(lost) == len(chosen.metrics):
        raise ValueError(
            f"no score of protocol {chosen.key} can be computed: its weights are missing; "
            f"./run_study.py doctor --protocol {chosen.name} says which and how to get them"
        )
    if lost and os.environ.get("RANK", "0") == "0":
        told = f"without {', '.join(lost)}: weights are missing (./run_study.py doctor --protocol {chosen.name})"
        print(told, file=sys.stderr)


def _reference(
    what: str, dataset: str | None, root: Path | None, size: str | None, val_images: int | None
) -> DatasetRef:
    from bench.data.opening import validation_ref

    if dataset is None:
        raise ValueError(f"{what} needs --dataset, the data set whose validation maps the images were made from")
    return validation_ref(dataset, size=parse_size(size), val_images=val_images, root=root)


def _print(found: Evaluation, bound: Evaluation | None, variant: str | None, store: Path) -> None:
    """The scores beside the upper bound and the paper's, where the time went, and where all of it is kept."""
    from bench.cli.catalogue import print_table
    from bench.reporting.judged import judged_lines, time_lines
    from bench.store import Store

    spec = found.spec
    at = f", step {found.step}" if found.step is not None else ""
    print(f"{spec.subject}{at}: N = {found.images} images of {spec.dataset.name}, protocol {spec.protocol}")
    if found.selection_note:
        print(found.selection_note)
    rows, notes = judged_lines(found, bound, variant)
    print_table(rows)
    for note in notes:
        print(note)
    for text in time_lines(found):
        print(text)
    print(f"written: {Store(store).evaluation_folder(found.eval_id)}")
    missing = [name for name, digest in spec.weights_sha256.items() if digest == "missing"]
    if missing:
        print(f"missing weights: ./run_study.py fetch-weights {' '.join(missing)}")
    if all(score.value is None for score in found.scores.values()):
        print("no score could be computed: see the reasons above")
        raise typer.Exit(1)
