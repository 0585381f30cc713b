"""The verbs of SIMS: one for each stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import DataRootOption, DeviceOption, SizeOption, parse_size

if TYPE_CHECKING:
    from bench.sims.learning import Learning
    from bench.sims.stage import Progress, Record
    from bench.sims.workspace import Choice, Workspace

DEFAULT_WORK = Path("results/sims")
WorkOption = Annotated[Path, typer.Option("--work", metavar="DIR", help="Folder of the system's stages.")]
AgainOption = Annotated[bool, typer.Option("--again", help="Make it anew even where nothing changed.")]
SplitOption = Annotated[
    str,
    typer.Option(
        "--split", metavar="val|train", help="Whose label maps; with train a map never finds its own picture."
    ),
]
RandomRetrievalOption = Annotated[
    bool, typer.Option("--random-retrieval", help="Baseline: random segments of the class.")
]
IdentityOption = Annotated[bool, typer.Option("--identity", help="Baseline: segments stay where they were.")]
RandomOrderOption = Annotated[bool, typer.Option("--random-order", help="Baseline: a random order of pasting.")]
StepsOption = Annotated[int | None, typer.Option("--steps", help="Optimisation steps.", show_default="--epochs")]
EpochsOption = Annotated[int, typer.Option("--epochs", help="Steps as passes over the training pictures.")]
WidthOption = Annotated[int, typer.Option("--width", help="Channels of the first convolutions (published: 64).")]
RateOption = Annotated[float, typer.Option("--rate", help="Adam's learning rate.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of weights and batches, or of what is random.")]
LeaveOutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--leave-out", metavar="ID", help="A training picture (sample id) to learn nothing of; may be repeated."
    ),
]
SaveOption = Annotated[int, typer.Option("--save-every", help="Steps between checkpoints.")]

sims = typer.Typer(
    name="sims",
    no_args_is_help=True,
    help=(
        "SIMS (Qi et al. 2018), stage by stage: images from a memory bank of segments.\n\n"
        "In order: bank, retrieve, train-transform, transform, train-order, order, compose, train-synthesis, "
        "synthesize. Each is skipped where its settings and inputs did not change, and goes on where it was stopped. "
        "The last one's folder is judged by `evaluate --images`. See docs/sims.md."
    ),
)


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    app.add_typer(sims, name="sims")


def _run(work: Path, again: bool, head: str, stage: Callable[..., tuple[Record, bool]], **arguments: Any) -> Record:
    """Do a stage of the workspace in ``work`` with a progress line, and say what came of it."""
    from bench.sims.workspace import Workspace

    return _made(Workspace.read(work), again, head, stage, **arguments)


def _made(
    workspace: Workspace, again: bool, head: str, stage: Callable[..., tuple[Record, bool]], **arguments: Any
) -> Record:
    from rich.console import Console

    from bench.launching.progress import ProgressLine

    with ProgressLine(Console(), head) as line:
        progress: Progress = line.update
        record, made = stage(workspace, **arguments, again=again, progress=progress)
    print(f"{head}: {'done' if made else 'was there already, nothing changed'}: {record.folder}")
    for name, value in record.notes.items():
        shown = ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else value
        print(f"  {name.replace('_', ' '):24} {shown}")
    return record


def _choice(split: str, random_retrieval: bool = False, identity: bool = False, random_order: bool = False) -> Choice:
    from bench.sims.workspace import Choice

    if split not in ("train", "val"):
        raise ValueError(f"--split is {split!r}; choose val or train")
    return Choice(
        split="train" if split == "train" else "val",
        random_retrieval=random_retrieval,
        identity=identity,
        random_order=random_order,
    )


def _learning(work: Path, steps: int | None, epochs: int, rate: float, seed: int, save_every: int) -> Learning:
    from bench.sims.learning import Learning
    from bench.sims.workspace import Workspace

    if steps is None:
        if epochs < 1:
            raise ValueError(f"--epochs is {epochs}; it must be at least 1")
        workspace = Workspace.read(work)
        steps = epochs * workspace.count(workspace.open("train"))
    return Learning(steps=steps, rate=rate, seed=seed, save_every_steps=save_every)


@sims.command("bank")
def bank(
    dataset: Annotated[str, typer.Option("--dataset", metavar="NAME", help="Data set (see `list datasets`).")],
    root: DataRootOption = None,
    size: SizeOption = None,
    work: WorkOption = DEFAULT_WORK,
    min_area: Annotated[int, typer.Option("--min-area", help="Smallest segment in px at 256x512.")] = 1000,
    train_images: Annotated[int | None, typer.Option(help="Use the first so many training pictures.")] = None,
    val_images: Annotated[int | None, typer.Option(help="Use the first so many validation maps.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes.", show_default="one for each CPU")
    ] = None,
    again: AgainOption = False,
) -> None:
    """Make the memory bank: the segments of all training pictures, with masks, colours and an index.

    It begins a workspace: the verbs that follow take the same --work and know the data set.
    """
    from bench.data.pool import available_cpus, check_workers
    from bench.data.registry import dataset_spec
    from bench.sims.bank import build_bank
    from bench.sims.workspace import Workspace

    entry = dataset_spec(dataset)
    for name, value in (("--train-images", train_images), ("--val-images", val_images)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    workspace = Workspace(
        folder=work,
        dataset=dataset,
        root=str(entry.resolve_root(root)) if entry.needs_root else None,
        size=parse_size(size) or entry.size_px,
        min_area_px=min_area,
        images=(train_images, val_images),
    )
    workspace.rule  # noqa: B018  a wrong --min-area or folder is told before the workspace is written
    workspace.write()
    processes = check_workers(workers if workers is not None else available_cpus())
    _made(workspace, again, "memory bank", build_bank, workers=processes)


@sims.command("retrieve")
def retrieve(
    work: WorkOption = DEFAULT_WORK,
    split: SplitOption = "val",
    random_retrieval: RandomRetrievalOption = False,
    seed: SeedOption = 0,
    again: AgainOption = False,
) -> None:
    """Find the 10 best overlapping segments of the same class for every segment of the label maps, exactly."""
    from bench.sims.retrieval import retrieve as stage

    _run(work, again, "retrieval", stage, choice=_choice(split, random_retrieval), seed=seed)


@sims.command("train-transform")
def train_transform(
    work: WorkOption = DEFAULT_WORK,
    steps: StepsOption = None,
    epochs: EpochsOption = 100,
    width: WidthOption = 64,
    rate: RateOption = 1e-4,
    seed: SeedOption = 0,
    save_every: SaveOption = 500,
    leave_out: LeaveOutOption = None,
    start: Annotated[
        Path | None,
        typer.Option("--start", metavar="DIR", help="--work of another system whose network this one begins from."),
    ] = None,
    device: DeviceOption = "auto",
    again: AgainOption = False,
) -> None:
    """Train the network that moves a retrieved segment to where the label map wants it. More --steps go on."""
    from bench.sims.transforming import train_transformation as stage

    learning = _learning(work, steps, epochs, rate, seed, save_every)
    options = {"width": width, "leave_out": leave_out or (), "start": start, "device": device}
    _run(work, again, "transformation network", stage, learning=learning, **options)


@sims.command("transform")
def transform(
    work: WorkOption = DEFAULT_WORK,
    split: SplitOption = "val",
    random_retrieval: RandomRetrievalOption = False,
    identity: IdentityOption = False,
    device: DeviceOption = "auto",
    again: AgainOption = False,
) -> None:
    """Move the retrieved segments of every region, and take the one that then covers it best."""
    from bench.sims.transforming import transform as stage

    _run(work, again, "transformation", stage, choice=_choice(split, random_retrieval, identity), device=device)


@sims.command("train-order")
def train_order(
    work: WorkOption = DEFAULT_WORK,
    supervision: Annotated[
        str | None,
        typer.Option(
            "--supervision",
            metavar="disparity|canvas|layers",
            help="What tells the order of two neighbours in training.",
            show_default="disparity where --disparity is given, else canvas",
        ),
    ] = None,
    disparity: Annotated[
        Path | None,
        typer.Option("--disparity", metavar="DIR", help="Disparity maps: <sample id>_disparity.png, as Cityscapes'."),
    ] = None,
    steps: StepsOption = None,
    epochs: EpochsOption = 100,
    width: WidthOption = 64,
    rate: RateOption = 1e-4,
    seed: SeedOption = 0,
    save_every: SaveOption = 500,
    leave_out: LeaveOutOption = None,
    device: DeviceOption = "auto",
    again: AgainOption = False,
) -> None:
    """Train the network that says which of two neighbouring segments is in front.

    Without disparity maps the label map tells it: where segments of other pictures, put in the place of the two, would
    overlap, the one belongs in front that has the map's class at more of the pixels (canvas). Or the stated layers of
    classes do.
    """
    from bench.sims.ordering import train_order as stage
    from bench.sims.supervision import check_source

    if supervision is not None:
        check_source(supervision)
    learning = _learning(work, steps, epochs, rate, seed, save_every)
    told = {"source": supervision, "disparity": disparity, "leave_out": leave_out or ()}
    _run(work, again, "ordering network", stage, learning=learning, width=width, device=device, **told)


@sims.command("order")
def order(
    work: WorkOption = DEFAULT_WORK,
    split: SplitOption = "val",
    random_order: RandomOrderOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    again: AgainOption = False,
) -> None:
    """Order the segments of every label map from the back to the front."""
    from bench.sims.arranging import arrange as stage

    _run(work, again, "order", stage, choice=_choice(split, random_order=random_order), seed=seed, device=device)


@sims.command("compose")
def compose(
    work: WorkOption = DEFAULT_WORK,
    split: SplitOption = "val",
    random_retrieval: RandomRetrievalOption = False,
    identity: IdentityOption = False,
    random_order: RandomOrderOption = False,
    context: Annotated[
        bool, typer.Option(help="Fill empty pixels from what surrounds a segment in its picture.")
    ] = True,
    seed: SeedOption = 0,
    again: AgainOption = False,
) -> None:
    """Paste the segments into canvases, and say how these agree with the label maps and the photographs.

    A baseline is asked for here as in the stages before: `retrieve --random-retrieval`, then
    `transform --random-retrieval`, then `compose --random-retrieval`.
    """
    from bench.sims.composing import compose as stage

    choice = _choice(split, random_retrieval, identity, random_order)
    _run(work, again, "canvases", stage, choice=choice, seed=seed, context=context)


@sims.command("train-synthesis")
def train_synthesis(
    work: WorkOption = DEFAULT_WORK,
    perceptual: Annotated[
        str,
        typer.Option(
            "--perceptual", metavar="NAME", help="Features of the loss: vgg19-caffe, efficientnet-lite0 or none."
        ),
    ] = "efficientnet-lite0",
    steps: StepsOption = None,
    epochs: EpochsOption = 100,
    width: WidthOption = 64,
    rate: RateOption = 1e-4,
    seed: SeedOption = 0,
    save_every: SaveOption = 500,
    device: DeviceOption = "auto",
    again: AgainOption = False,
) -> None:
    """Train the network that turns label map and canvas into an image, on simulated canvases."""
    from bench.sims.synthesis import train_synthesis as stage

    learning = _learning(work, steps, epochs, rate, seed, save_every)
    options = {"width": width, "perceptual": perceptual, "device": device}
    _run(work, again, "synthesis network", stage, learning=learning, **options)


@sims.command("synthesize")
def synthesize(
    work: WorkOption = DEFAULT_WORK,
    split: SplitOption = "val",
    random_retrieval: RandomRetrievalOption = False,
    identity: IdentityOption = False,
    random_order: RandomOrderOption = False,
    device: DeviceOption = "auto",
    again: AgainOption = False,
) -> None:
    """Make an image of every canvas: a folder that `evaluate --images` judges."""
    from bench.sims.synthesis import synthesize as stage
    from bench.sims.workspace import Workspace

    choice = _choice(split, random_retrieval, identity, random_order)
    record = _run(work, again, "images", stage, choice=choice, device=device)
    if choice.split == "val":
        workspace = Workspace.read(work)
        size = f"{workspace.size[0]}x{workspace.size[1]}"
        limit = f" --val-images {workspace.images[1]}" if workspace.images[1] else ""
        root = f" --root {workspace.root}" if workspace.root else ""
        print(
            f"judge them: ./run_study.py evaluate --images {record.folder} --dataset {workspace.dataset}{root} "
            f"--size {size}{limit}"
        )
