"""The verbs of a trained generator at work: synthesize, paint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import store_in
from bench.cli.options import DEFAULT_STORE, DataRootOption, DeviceOption, SizeOption, StoreOption, parse_size

if TYPE_CHECKING:
    from bench.data.dataset import Dataset
    from bench.synthesis.inputs import LabelInput
    from bench.synthesis.model import Synthesizer
    from bench.synthesis.synthesize import Contact, Synthesized

RunOption = Annotated[str | None, typer.Option("--run", metavar="RUN", help="A run of the store: name or run_id.")]
CheckpointOption = Annotated[
    Path | None, typer.Option("--checkpoint", metavar="FILE", help="A released generator file (latest_net_G.pth).")
]
VariantOption = Annotated[
    str | None,
    typer.Option("--variant", metavar="NAME", help="Architecture of --checkpoint: spade, or spade-vae (use_vae)."),
]
EncoderOption = Annotated[
    Path | None,
    typer.Option("--encoder", metavar="FILE", help="The image encoder of --checkpoint (latest_net_E.pth), for styles."),
]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", metavar="NAME", help="Data set whose label ids --checkpoint takes.")
]
WidthOption = Annotated[
    int | None, typer.Option(help="Width of --checkpoint and --encoder, where it is not the variant's.")
]
ConventionOption = Annotated[
    str | None,
    typer.Option(
        "--convention",
        metavar="NAME",
        help="How --checkpoint wants its label ids (`show dataset` lists them).",
        show_default="as the released code",
    ),
]
StepOption = Annotated[
    int | None, typer.Option(help="Checkpoint of --run.", show_default="the selected one, or the newest")
]
WeightsOption = Annotated[
    str | None, typer.Option(metavar="raw|ema", help="Which weights of --run.", show_default="raw")
]


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.command("synthesize")(synthesize)
    app.command("paint")(paint)


def synthesize(
    run: RunOption = None,
    checkpoint: CheckpointOption = None,
    variant: VariantOption = None,
    encoder: EncoderOption = None,
    dataset: DatasetOption = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE|DIR", help="A PNG of the data set's label ids, or a folder of them."),
    ] = None,
    instances: Annotated[
        Path | None,
        typer.Option(
            "--instances",
            metavar="FILE|DIR",
            help="Instance maps of the same names.",
            show_default="instances end where labels do",
        ),
    ] = None,
    val_maps: Annotated[
        int | None, typer.Option(help="In place of --labels: the first so many validation maps of the data set.")
    ] = None,
    style: Annotated[
        list[Path] | None,
        typer.Option("--style", metavar="IMAGE", help="Take the style of this image (may be repeated)."),
    ] = None,
    samples: Annotated[int, typer.Option(help="Images of each map (and of each style).")] = 1,
    interpolate: Annotated[
        int | None,
        typer.Option(metavar="STEPS", help="From the first of two --style to the second; without: sample to sample."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of z; the name of the map counts too.")] = 0,
    size: SizeOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the images.", show_default="results/synthesis/MODEL"),
    ] = None,
    diversity: Annotated[bool, typer.Option(help="Measure how different the images of a map are.")] = True,
    step: StepOption = None,
    weights: WeightsOption = None,
    width: WidthOption = None,
    convention: ConventionOption = None,
    root: DataRootOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """Make images of label maps: several samples of one map, in the style of an image, or between two styles.

    \b
    synthesize --run RUN --val-maps 4 --samples 6                     # figure 9 of the paper
    synthesize --run RUN --labels map.png --style sunset.jpg          # figure 1
    synthesize --run RUN --labels maps/ --style a.jpg --style b.jpg --interpolate 7
    synthesize --checkpoint latest_net_G.pth --variant spade-vae --encoder latest_net_E.pth \\
        --dataset coco_stuff --labels maps/ --samples 4

    Writes PNGs, contact.png (maps beside images) and manifest.json. The same command again keeps what is there.
    """
    from rich.console import Console

    from bench.launching.progress import ProgressLine
    from bench.synthesis.drawing import Wish
    from bench.synthesis.styles import read_styles
    from bench.synthesis.synthesize import synthesize as work

    options = ModelOptions(
        run=run,
        checkpoint=checkpoint,
        variant=variant,
        encoder=encoder,
        dataset=dataset,
        size=size,
        step=step,
        weights=weights,
        width=width,
        convention=convention,
        store=store,
        device=device,
    )
    model = options.opened()
    Wish(samples=samples, interpolate=interpolate, seed=seed)
    wish = Wish(samples=samples, styles=read_styles(model, style or []), interpolate=interpolate, seed=seed)
    maps = _maps(model, run, labels, instances, val_maps, root, store)
    folder = out or Path("results") / "synthesis" / model.stem
    print(f"{model.name}: {len(maps)} label maps of {model.entry.name} at {model.size[1]}x{model.size[0]} px")
    with ProgressLine(Console(), "synthesize") as line:
        done = work(model, maps, wish, folder, diversity=diversity, progress=line.update)
    _tell(done)


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The options that name a model: a run of the store, or released files."""

    run: str | None
    checkpoint: Path | None
    variant: str | None
    encoder: Path | None
    dataset: str | None
    size: str | None
    step: int | None
    weights: str | None
    width: int | None
    convention: str | None
    store: Path
    device: str

    def __post_init__(self) -> None:
        if (self.run is None) == (self.checkpoint is None):
            raise ValueError(f"give exactly one of --run and --checkpoint; given: {'both' if self.run else 'none'}")
        meaningless: tuple[str, ...] = ("step", "weights")
        if self.run is not None:
            meaningless = ("variant", "encoder", "dataset", "width", "convention")
        given = [f"--{name}" for name in meaningless if getattr(self, name) is not None]
        if given:
            source = "--run" if self.run is not None else "--checkpoint"
            raise ValueError(f"{', '.join(given)} mean nothing with {source}; leave them out")
        for name, what in (("variant", "architecture"), ("dataset", "label ids")):
            if self.checkpoint is not None and getattr(self, name) is None:
                raise ValueError(f"--checkpoint {self.checkpoint} needs --{name}, the {what} of the file")

    def opened(self) -> Synthesizer:
        """The model, with its weights, on its device."""
        from bench.synthesis.model import synthesizer_of_checkpoint, synthesizer_of_run
        from bench.training.distributed import pick_device

        device, size = pick_device(self.device), parse_size(self.size)
        if self.run is not None:
            store = store_in(self.store)
            weights = self.weights or "raw"
            return synthesizer_of_run(store, self.run, device=device, step=self.step, weights=weights, size=size)
        assert self.checkpoint is not None
        assert self.variant is not None
        assert self.dataset is not None
        return synthesizer_of_checkpoint(
            self.checkpoint,
            self.variant,
            self.dataset,
            encoder=self.encoder,
            device=device,
            size=size,
            width=self.width,
            convention=self.convention,
        )


def _maps(
    model: Synthesizer,
    run: str | None,
    labels: Path | None,
    instances: Path | None,
    val_maps: int | None,
    root: Path | None,
    store: Path,
) -> list[LabelInput]:
    from bench.synthesis.inputs import label_inputs, split_inputs

    if (labels is None) == (val_maps is None):
        raise ValueError("say which label maps: either --labels FILE|DIR or --val-maps N")
    if labels is not None:
        if root is not None:
            raise ValueError("--root means nothing with --labels; leave it out")
        return label_inputs(labels, instances, model.entry, model.size)
    if instances is not None:
        raise ValueError("--instances means nothing with --val-maps, which have theirs; leave it out")
    assert val_maps is not None
    return split_inputs(validation_split(model, run, root, store), val_maps)


def validation_split(model: Synthesizer, run: str | None, root: Path | None, store: Path) -> Dataset:
    """The validation split of the model's data set at its size. Raises DatasetError where its files are not here."""
    from dataclasses import replace

    from bench.data.opening import open_split, validation_ref

    if run is not None and root is None:
        from bench.store import Store

        return open_split(replace(Store(store).find_run(run).spec().dataset, size=model.size), "val")
    return open_split(validation_ref(model.entry.name, size=model.size, root=root), "val")


def _tell(done: Synthesized) -> None:
    kept = f", {done.kept} were there from the same inputs and are kept" if done.kept else ""
    print(f"{done.made} images made{kept}")
    if done.diversity is not None:
        print(f"diversity over {done.diversity.over}, mean distance of all pairs of one map:")
        from bench.synthesis.diversity import MEANINGS

        for name, value in done.diversity.values.items():
            print(f"  {name} {value:.4f}  {MEANINGS[name]}")
        for name, why in done.diversity.missing.items():
            print(f"  {name} n/a     {why}")
    _draw_contact(done.contact)
    print(f"written: {done.folder}  (contact.png, manifest.json)")


def _draw_contact(shown: Contact) -> None:
    """Label maps beside images: below the style images where there are any."""
    from bench.reporting.grids import draw_multimodal_grid, draw_style_grid

    names, images, about = shown.names, shown.images, shown.about
    if any(style is not None for style in shown.styles):
        draw_style_grid(
            shown.styles,
            shown.maps,
            images,
            shown.file,
            style_labels=shown.captions,
            map_labels=names,
            caption=shown.title,
            about=about,
        )
    else:
        draw_multimodal_grid(
            shown.maps, images, shown.file, z_labels=shown.captions, map_labels=names, caption=shown.title, about=about
        )


def paint(
    run: RunOption = None,
    checkpoint: CheckpointOption = None,
    variant: VariantOption = None,
    encoder: EncoderOption = None,
    dataset: DatasetOption = None,
    port: Annotated[int, typer.Option(help="Port of 127.0.0.1; 0: any free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    size: SizeOption = None,
    step: StepOption = None,
    weights: WeightsOption = None,
    width: WidthOption = None,
    convention: ConventionOption = None,
    root: DataRootOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> None:
    """Draw label maps on a page of this machine, and see at once what a model makes of them.

    The page offers the data set's classes and validation maps, style images where the model has an image encoder,
    seeds where it takes z. It listens on 127.0.0.1 alone; from another machine: ssh -L PORT:127.0.0.1:PORT HOST.
    """
    import webbrowser

    from bench.data.dataset import DatasetError
    from bench.synthesis.paint.server import HOST, listening, serve
    from bench.synthesis.paint.studio import Studio

    options = ModelOptions(
        run=run,
        checkpoint=checkpoint,
        variant=variant,
        encoder=encoder,
        dataset=dataset,
        size=size,
        step=step,
        weights=weights,
        width=width,
        convention=convention,
        store=store,
        device=device,
    )
    opened = listening(port)
    model = options.opened()
    try:
        maps = validation_split(model, run, root, store)
    except DatasetError as error:
        maps = None
        print(f"no maps to start from, the page begins blank: {str(error).splitlines()[0]}")
    address = f"http://{HOST}:{opened.getsockname()[1]}/"
    print(f"{model.name}\npaint at {address} (Ctrl-C ends it)", flush=True)
    if browser:
        webbrowser.open(address)
    try:
        serve(Studio(model, maps), opened).run(sockets=[opened])
    except KeyboardInterrupt:
        print("closed")
