"""Verbs of data and judging: prepare, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_STORE, DataRootOption, DeviceOption, SizeOption, StoreOption, parse_size

if TYPE_CHECKING:
    from bench.run_spec import DatasetRef
    from bench.store import Evaluation, Store


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.command("prepare")(prepare)
    app.command("evaluate")(evaluate)


def prepare(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Data set (see `list datasets`).")],
    root: DataRootOption = None,
    size: SizeOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the contact sheets. [default: results/DATASET]"),
    ] = None,
) -> None:
    """Check every file of a data set once, write its manifest, print statistics, draw a contact sheet.

    All problems are listed at once: missing partners, unreadable files, modes, labels out of range, sizes.
    """
    from rich.console import Console

    from bench.data.contact_sheet import contact_sheet
    from bench.data.registry import dataset_spec
    from bench.launching.progress import ProgressLine

    entry = dataset_spec(dataset)
    folder = out or Path("results") / dataset
    for split in entry.splits:
        with ProgressLine(Console(), f"check {dataset}/{split}") as line:
            opened = entry.open(
                split=split,
                root=root,
                size=parse_size(size),
                progress=lambda done, of, line=line: line.update(done, of, "files"),  # type: ignore[misc]
            )
        sheet = folder / f"{split}.png"
        contact_sheet(opened, min(12, len(opened)), sheet)
        print(
            f"{dataset}/{split}: {len(opened)} pairs, content hash {opened.manifest_hash[:12]}, contact sheet {sheet}"
        )


def evaluate(
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="A run of the store: name or run_id.")] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="A folder of PNG files named <sample id>.png.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="A released generator file (latest_net_G.pth).")
    ] = None,
    variant: Annotated[
        str | None, typer.Option("--variant", metavar="NAME", help="Architecture of --checkpoint.")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Width of --checkpoint's generator, where it is not the variant's.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Data set of --images or --checkpoint.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", metavar="NAME", help="[default: the data set's]")
    ] = None,
    root: DataRootOption = None,
    size: SizeOption = None,
    val_images: Annotated[int | None, typer.Option(help="Judge the first so many validation images.")] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="raw|ema", help="Which weights of --run. [default: raw]")
    ] = None,
    step: Annotated[int | None, typer.Option(help="Checkpoint of --run. [default: the selected one]")] = None,
    noise_seed: Annotated[int, typer.Option(help="Seed of z, for generators that take one.")] = 0,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """Judge a run, a folder of images, or a released checkpoint file, by a protocol."""
    from rich.console import Console

    from bench.launching.judging import judge_checkpoint, judge_images, judge_run
    from bench.launching.progress import ProgressLine
    from bench.store import Store

    given = [name for name, value in (("--run", run), ("--images", images), ("--checkpoint", checkpoint)) if value]
    if len(given) != 1:
        raise ValueError(f"give exactly one of --run, --images and --checkpoint; given: {', '.join(given) or 'none'}")
    unused: dict[str, dict[str, object]] = {
        "--run": {"--dataset": dataset, "--root": root, "--size": size, "--variant": variant, "--width": width},
        "--images": {"--variant": variant, "--width": width, "--step": step, "--weights": weights},
        "--checkpoint": {"--step": step, "--weights": weights},
    }
    _refuse_unused(given[0], unused[given[0]])
    opened = Store(store)
    with ProgressLine(Console(), f"evaluate {run or images or checkpoint}") as line:
        if run is not None:
            evaluation = judge_run(
                opened,
                run,
                protocol=protocol,
                weights=weights or "raw",
                step=step,
                val_images=val_images,
                noise_seed=noise_seed,
                device=device,
                progress=line.update,
            )
        else:
            ref = _reference(given[0], dataset, root, size, val_images)
            if images is not None:
                evaluation = judge_images(opened, images, ref, protocol=protocol, device=device, progress=line.update)
            else:
                assert checkpoint is not None
                if variant is None:
                    raise ValueError(f"--checkpoint {checkpoint} needs --variant, the architecture of the file")
                evaluation = judge_checkpoint(
                    opened,
                    checkpoint,
                    variant,
                    ref,
                    width=width,
                    protocol=protocol,
                    noise_seed=noise_seed,
                    device=device,
                    progress=line.update,
                )
    if evaluation is not None:
        _print(evaluation, opened)


def _refuse_unused(source: str, unused: dict[str, object]) -> None:
    """Raises ValueError naming the options that were given but mean nothing with ``source``."""
    given = [name for name, value in unused.items() if value is not None]
    if given:
        raise ValueError(f"{', '.join(given)} mean nothing with {source}; leave them out")


def _reference(
    what: str, dataset: str | None, root: Path | None, size: str | None, val_images: int | None
) -> DatasetRef:
    from bench.data.opening import dataset_ref

    if dataset is None:
        raise ValueError(f"{what} needs --dataset, the data set whose validation maps the images were made from")
    return dataset_ref(dataset, size=parse_size(size), val_images=val_images, root=root)


def _print(evaluation: Evaluation, store: Store) -> None:
    from bench.cli.catalogue import print_table

    spec = evaluation.spec
    at = f", step {evaluation.step}" if evaluation.step is not None else ""
    print(f"{spec.subject}{at}: {evaluation.images} images of {spec.dataset.name}, protocol {spec.protocol}")
    print_table(
        [
            {"metric": name, "value": f"{score.value:.2f}" if score.value is not None else f"n/a ({score.reason})"}
            for name, score in evaluation.scores.items()
        ]
    )
    print(f"written: {store.evaluation_folder(evaluation.eval_id)}")
