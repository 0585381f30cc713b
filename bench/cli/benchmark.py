"""The verb ``benchmark``: how fast generator, training step, loader and evaluation are, here and now."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import DeviceOption, JsonOption, parse_size

if TYPE_CHECKING:
    from baselines.variant import Variant
    from bench.benchmarks.maps import MapSet
    from bench.benchmarks.timing import Stopwatch
    from spade_core.settings import SpadeSettings

app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})

DatasetOption = Annotated[
    str, typer.Option("--dataset", metavar="NAME", help="Whose label channels, size and upsampling are measured.")
]
MapsOption = Annotated[
    Path | None,
    typer.Option("--maps", metavar="DIR", help="Folder of the data set: measure on its label maps.", show_default="no"),
]
PxOption = Annotated[
    str | None,
    typer.Option("--size", metavar="HxW|N", help="Image size in px.", show_default="the paper's for the data set"),
]
BatchOption = Annotated[int, typer.Option("--batch", help="Images of a batch.")]
RepeatsOption = Annotated[int, typer.Option("--repeats", help="Measurements of each, in turn; the median counts.")]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", help="Threads that compute on the CPU.", show_default="as torch chooses")
]
ClockOption = Annotated[
    str,
    typer.Option(
        "--clock", metavar="wall|processor", help="What passes, or what this process computes (for a busy machine)."
    ),
]
ProfileOption = Annotated[bool, typer.Option("--profile", help="Add the operations that take most time.")]
NoiseOption = Annotated[bool, typer.Option("--noise", help="Maps of noise, the worst case: hardly anything repeats.")]
CountOption = Annotated[int, typer.Option("--scenes", help="Number of synthetic maps where no folder is given.")]


def register(verbs: typer.Typer) -> None:
    """Add this module's verb to the command line."""
    verbs.add_typer(app, name="benchmark", help="Measure generator, training step, loader and evaluation here.")


@app.command("generator")
def generator(
    dataset: DatasetOption = "coco_stuff",
    size: PxOption = None,
    maps: MapsOption = None,
    scenes: CountOption = 4,
    noise: NoiseOption = False,
    batch: BatchOption = 1,
    repeats: RepeatsOption = 3,
    variant: Annotated[str, typer.Option(help="A variant with SPADE's decoder.")] = "spade-decoder",
    width: Annotated[int | None, typer.Option(help="Width of the generator.", show_default="the variant's")] = None,
    training: Annotated[bool, typer.Option(help="Networks in training mode (without gradients all the same).")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Also time our network in its plain formulation.")] = False,
    third_party: Annotated[
        Path | None,
        typer.Option("--third-party", metavar="FILE", help="Python file whose build(channels, size) makes a network."),
    ] = None,
    profile: ProfileOption = False,
    threads: ThreadsOption = None,
    clock: ClockOption = "wall",
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """The SPADE generator's forward pass against the released order of operations, with the same weights."""
    from bench.benchmarks.generator import GeneratorBenchmark, benchmark_generator

    watch = _watch(device, clock, threads)
    settings = _spade(variant, dataset, width, "generator")
    what = GeneratorBenchmark(
        settings=settings,
        batch_images=batch,
        repeats=repeats,
        training=training,
        plain=plain,
        third_party=third_party,
        profile=profile,
    )
    chosen = _maps(dataset, size, maps, scenes, noise)
    _show(benchmark_generator(what, chosen, watch, _progress), as_json)


@app.command("operations")
def operations(
    dataset: DatasetOption = "coco_stuff",
    size: PxOption = None,
    maps: MapsOption = None,
    scenes: CountOption = 4,
    noise: NoiseOption = False,
    batch: BatchOption = 1,
    variant: Annotated[str, typer.Option(help="A variant with SPADE's decoder.")] = "spade-decoder",
    width: Annotated[int | None, typer.Option(help="Width of the generator.", show_default="the variant's")] = None,
    as_json: JsonOption = False,
) -> None:
    """Operations of a forward pass, counted from the label maps and not timed: the same on a busy machine."""
    from bench.benchmarks.operations import count_operations

    settings = _spade(variant, dataset, width, "operations")
    chosen = _maps(dataset, size, maps, scenes, noise)
    _show(count_operations(settings, chosen, batch_images=batch, progress=_progress), as_json)


@app.command("step")
def step(
    dataset: DatasetOption = "coco_stuff",
    size: PxOption = None,
    maps: MapsOption = None,
    scenes: CountOption = 4,
    noise: NoiseOption = False,
    batch: BatchOption = 1,
    repeats: RepeatsOption = 3,
    variant: Annotated[
        list[str] | None,
        typer.Option("--variant", metavar="NAME", help="May be repeated.", show_default="all of Table 3"),
    ] = None,
    width: Annotated[int | None, typer.Option(help="Width of the generator.", show_default="the variant's")] = None,
    perceptual: Annotated[
        bool, typer.Option("--perceptual", help="With the perceptual loss (of random weights: the time is the same).")
    ] = False,
    precision: Annotated[
        str, typer.Option(metavar="float32|bf16", help="Of our step; the reference is float32.")
    ] = "float32",
    compiled: Annotated[bool, typer.Option("--compile", help="Our networks under torch.compile.")] = False,
    memory: Annotated[bool, typer.Option(help="Find out the peak memory of both, in processes of their own.")] = True,
    profile: ProfileOption = False,
    threads: ThreadsOption = None,
    clock: ClockOption = "wall",
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Whole training steps (generator, discriminator, feature matching) against the released order of operations."""
    from bench.benchmarks.step import StepBenchmark, benchmark_step

    watch = _watch(device, clock, threads)
    chosen = _maps(dataset, size, maps, scenes, noise)
    results = []
    for name in variant or _table_3():
        what = StepBenchmark(
            variant=_variant(name, dataset, width),
            batch_images=batch,
            repeats=repeats,
            perceptual=perceptual,
            precision=precision,  # type: ignore[arg-type]
            compiled=compiled,
            memory=memory,
            profile=profile,
        )
        _progress(f"{name}:")
        results.append(benchmark_step(what, chosen, watch, _progress))
    _show(results[0] if len(results) == 1 else results, as_json)


@app.command("loader")
def loader(
    dataset: DatasetOption = "coco_stuff",
    size: PxOption = None,
    maps: MapsOption = None,
    batch: BatchOption = 4,
    images: Annotated[int, typer.Option(help="Images to load of each split.")] = 100,
    workers: Annotated[int, typer.Option(help="Loading processes; 0 loads in this one.")] = 0,
    clock: ClockOption = "wall",
    as_json: JsonOption = False,
) -> None:
    """Images a second of the loader alone, as training uses it; scenes of the embedded world without --maps."""
    from bench.benchmarks.loader import benchmark_loader
    from bench.benchmarks.maps import real_splits
    from bench.data.registry import dataset_spec

    entry = dataset_spec(dataset)
    pixels = _size(size) or entry.size_px
    if maps is None and entry.needs_root:
        _progress("no --maps DIR: loading scenes of the embedded world in place of files")
        splits = [dataset_spec("synthetic").open(split="train", size=pixels)]
    elif maps is None:
        splits = [entry.open(split="train", size=pixels)]
    else:
        splits = real_splits(entry, maps, pixels)
    watch = _watch("cpu", clock, 1)
    _show(
        benchmark_loader(splits, batch_images=batch, images=images, workers=workers, watch=watch, progress=_progress),
        as_json,
    )


@app.command("fid")
def fid(
    images: Annotated[int, typer.Option(help="Images on each side.")] = 5000,
    dimensions: Annotated[int, typer.Option(help="Length of a feature.")] = 2048,
    repeats: RepeatsOption = 1,
    threads: ThreadsOption = None,
    clock: ClockOption = "wall",
    as_json: JsonOption = False,
) -> None:
    """The Frechet distance from features against pytorch-fid's function: seconds, and the difference."""
    from bench.benchmarks.fid import benchmark_fid

    watch = _watch("cpu", clock, threads)
    _show(
        benchmark_fid(images=images, dimensions=dimensions, repeats=repeats, watch=watch, progress=_progress), as_json
    )


@app.command("evaluation")
def evaluation(
    dataset: DatasetOption = "synthetic",
    size: PxOption = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", metavar="DIR", help="Folder of the data set.", show_default="none is needed"),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="How to judge.", show_default="the data set's")
    ] = None,
    images: Annotated[int, typer.Option(help="PNG files to judge.")] = 2000,
    threads: ThreadsOption = None,
    clock: ClockOption = "wall",
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """A whole evaluation: reading, judge, features, distances. Scores whose weights are missing take no time."""
    from bench.benchmarks.evaluation import benchmark_evaluation
    from bench.data.registry import dataset_spec
    from bench.data.synthetic import SyntheticScenes
    from bench.evaluation.protocols import protocol_for

    entry = dataset_spec(dataset)
    pixels = _size(size) or entry.size_px
    if entry.needs_root:
        split = entry.open(split="val", root=root, size=pixels)
    else:
        split = SyntheticScenes(split="val", size=pixels, images=images)
    watch = _watch(device, "wall", threads)
    chosen = protocol_for(dataset, protocol)
    _show(benchmark_evaluation(split, chosen, images=images, watch=watch, progress=_progress), as_json)


def _watch(device: str, clock: str, threads: int | None) -> Stopwatch:
    import torch

    from bench.benchmarks.timing import Stopwatch
    from bench.training.distributed import pick_device

    if threads is not None:
        if threads < 1:
            raise ValueError(f"--threads is {threads}; it must be at least 1")
        torch.set_num_threads(threads)
    return Stopwatch(clock=clock, device=pick_device(device))  # type: ignore[arg-type]


def _variant(name: str, dataset: str, width: int | None) -> Variant:
    from baselines.registry import get_variant
    from bench.data.fitting import fitted
    from bench.data.registry import dataset_spec

    chosen = get_variant(name)
    if width is not None:
        chosen = chosen.scaled(width=width)
    return fitted(chosen, dataset_spec(dataset).upsampling)


def _spade(name: str, dataset: str, width: int | None, verb: str) -> SpadeSettings:
    from spade_core.settings import SpadeSettings

    settings = _variant(name, dataset, width).generator
    if not isinstance(settings, SpadeSettings):
        raise ValueError(f"benchmark {verb}: variant {name!r} has no SPADE decoder; use `benchmark step` for it")
    return settings


def _table_3() -> list[str]:
    from baselines.registry import list_variants

    return [item.name for item in list_variants() if any(row.startswith("Table 3") for row in item.table_rows)]


def _maps(dataset: str, size: str | None, folder: Path | None, scenes: int, noise: bool) -> MapSet:
    from bench.benchmarks.maps import noise_maps, real_maps, synthetic_maps
    from bench.data.registry import dataset_spec

    entry = dataset_spec(dataset)
    pixels = _size(size) or entry.size_px
    if scenes < 1:
        raise ValueError(f"--scenes is {scenes}; it must be at least 1")
    if folder is not None and noise:
        raise ValueError("--maps and --noise are two kinds of label maps; give one")
    if folder is not None:
        return real_maps(entry, folder, pixels)
    return (noise_maps if noise else synthetic_maps)(entry.spec, pixels, scenes)


def _size(text: str | None) -> tuple[int, int] | None:
    return parse_size(f"{text}x{text}" if text is not None and text.isdigit() else text)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _show(result: dict[str, Any] | list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, indent=2))
        return
    from bench.cli.benchmark_page import page

    for item in result if isinstance(result, list) else [result]:
        print(page(item))
