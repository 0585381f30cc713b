"""The verb that gets a data set ready: prepare."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DataRootOption, DeviceOption, SizeOption, parse_size

if TYPE_CHECKING:
    from bench.data.dataset import Augmentation, Dataset
    from bench.data.entry import DatasetEntry
    from bench.data.files import Layout, Unmade
    from bench.data.manifest import Manifest
    from bench.data.paired import PairedDataset
    from bench.data.statistics import Statistics

_SHORT_S = 1.0
"""What takes no longer needs no line in a file or a pipe, and has no rate."""


def register(app: typer.Typer) -> None:
    """Add this module's verb to the command line."""
    paragraphs = (prepare.__doc__ or "").split("\n\n")  # Typer would keep the line breaks of the source
    app.command("prepare", help="\n\n".join(" ".join(text.split()) for text in paragraphs))(prepare)


def prepare(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Data set (see `list datasets`).")],
    root: DataRootOption = None,
    size: SizeOption = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", metavar="train|val", help="This split alone: to judge, val is enough.", show_default="both"
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes.", show_default="one for each CPU")
    ] = None,
    pack: Annotated[
        Path | None,
        typer.Option("--pack", metavar="DIR", help="Write a packed, resized copy here, for fast training."),
    ] = None,
    sheet: Annotated[int, typer.Option("--sheet", metavar="N", help="Pairs on the contact sheet; 0 for none.")] = 12,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of what is written.", show_default="results/DATASET"),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Get a data set ready: check every file once, count what there is, draw a contact sheet, pack a fast copy.

    Every file is read whole: partners, modes, sizes, label values, damage; the number of pairs is held against the
    official one, and pictures that are there twice or in both splits are named. All problems come in one list, and
    nothing else happens then. What was looked at is remembered: stop with Ctrl-C and run the same command again to
    go on; afterwards only changed files are looked at again.

    What a download lacks is made first: instance maps from COCO's json, label maps of photographs by DeepLabV2.

    Into --out go SPLIT.png (contact sheet), SPLIT-manifest.json (hashes of all files), SPLIT-statistics.json and
    SPLIT-classes.csv. --pack DIR writes each pair resized once, in a few large files; give DIR as --root afterwards.
    Training reads the very same pixels from it, many times as fast, and run ids stay the same. Other sizes may be
    added to it; prepare with the packed copy as --root checks it against its checksums.

    Examples: `prepare coco_stuff --root /data/coco`, `prepare cityscapes --root /data/cityscapes --pack /ssd/city`
    """
    from bench.data.dataset import check_size
    from bench.data.pool import available_cpus, check_workers
    from bench.data.registry import dataset_spec

    entry = dataset_spec(dataset)
    _check_options(entry, root, split, pack, sheet)
    verb = _Prepare(
        entry=entry,
        splits=entry.splits if split is None else (split,),
        size=check_size(parse_size(size) or entry.size_px) if size else None,
        workers=check_workers(available_cpus() if workers is None else workers),
        sheet=sheet,
        out=out or Path("results") / dataset,
    )
    try:
        next_root = verb.do(root, pack, device)
    except KeyboardInterrupt:
        print("stopped; what was done is kept: run the same command again to go on", file=sys.stderr)
        raise typer.Exit(130) from None
    print(_next_line(entry, next_root, size, split))


def _check_options(entry: DatasetEntry, root: Path | None, split: str | None, pack: Path | None, sheet: int) -> None:
    """Raises ValueError for options that make no sense, alone or together."""
    if sheet < 0:
        raise ValueError(f"--sheet is {sheet}; it must be at least 0 (no contact sheet)")
    if split is not None and split not in entry.splits:
        why = f": {entry.absent_splits[split]}" if split in entry.absent_splits else ""
        raise ValueError(f"--split is {split!r}; {entry.name} has {', '.join(entry.splits)}{why}")
    if split is not None and pack is not None:
        raise ValueError("--split and --pack exclude each other: a packed copy holds both splits")
    if not entry.needs_root and (pack is not None or root is not None):
        raise ValueError(f"{entry.name} is drawn, not read from files: --root and --pack do not apply")


class _Prepare:
    """The steps of the verb, which share its options."""

    def __init__(
        self,
        *,
        entry: DatasetEntry,
        splits: Sequence[str],
        size: tuple[int, int] | None,
        workers: int,
        sheet: int,
        out: Path,
    ) -> None:
        self.entry, self.splits, self.size, self.workers = entry, tuple(splits), size, workers
        self.sheet, self.out = sheet, out

    def do(self, root: Path | None, pack: Path | None, device: str) -> Path | None:
        """All of it. Returns the folder to train from, None where there are no files."""
        if self.entry.needs_root:
            return self.files(self.entry.resolve_root(root), pack, device)
        self.scenes()
        return None

    def scenes(self) -> None:
        """The embedded world: count some scenes, draw a sheet."""
        from bench.data.statistics import scene_statistics

        for split in self.splits:
            opened = self.entry.open(split=split, size=self.size)
            self._show(opened, scene_statistics(opened))

    def files(self, root: Path, pack: Path | None, device: str) -> Path:
        """A folder of files: make what is missing, look, count, pack. Returns the folder to train from."""
        from bench.data.manifest import leaks
        from bench.data.packed import is_packed
        from bench.data.packing import check_folder
        from bench.data.statistics import split_statistics

        if is_packed(root):
            if pack is not None:
                raise ValueError(f"--root {root} is a packed copy itself; give the folder of the files to pack them")
            self._packed_copy(root)
            return root
        if pack is not None:  # a wrong folder is told before hours of looking, not after
            pack = pack.expanduser().resolve()
            check_folder(pack, root=root, splits=self.splits)
        layout = self.entry.find_layout(root)
        print(f"{self.entry.name}: {root}, layout {layout.name}")
        self._make_missing(layout, root, device)
        for text in dict.fromkeys(text for split in self.splits for text in layout.identity(root, split)):
            print(text)
        splits = self._look(layout, root)
        if "train" in splits and "val" in splits:
            shared = leaks(splits["train"].manifest, splits["val"].manifest)
            splits["val"] = _warned(splits["val"], shared)
        for split, opened in splits.items():
            content_hash = self.entry.split_identity(split, opened.manifest.content_hash)
            named = replace(opened, manifest=replace(opened.manifest, content_hash=content_hash))
            value = opened.files.dont_care_value
            self._show(named, split_statistics(named, named.manifest, dont_care_value=value), named.manifest)
        if pack is None:
            return root
        return self._pack(list(splits.values()), pack)

    def _make_missing(self, layout: Layout, root: Path, device: str) -> None:
        """Files that the download lacks and that can be computed."""
        missing = [unmade for split in self.splits if (unmade := layout.unmade(root, split)) is not None]
        for unmade in missing:
            print(f"{unmade.split}: {unmade.missing:,} of {unmade.total:,} {unmade.kind} are made now: {unmade.folder}")
        for unmade in missing:
            if unmade.kind == "instance maps":
                self._draw_instances(root, unmade)
        if any(unmade.kind == "label maps" for unmade in missing):
            from bench.launching.label_photographs import label_photographs

            with _progress("label maps by DeepLabV2", "photographs") as update:
                label_photographs(
                    root,
                    splits=self.splits,
                    device=device,
                    progress=lambda done, of, _: update(done, of),
                )

    def _draw_instances(self, root: Path, unmade: Unmade) -> None:
        from bench.data.layouts.coco_instances import write_instance_maps

        with _progress(f"instance maps of {unmade.split}", "maps") as update:
            write_instance_maps(
                root, unmade.split, unmade.folder, processes=self.workers, progress=update, waiting=_waiting
            )

    def _look(self, layout: Layout, root: Path) -> dict[str, PairedDataset]:
        """Every split, looked at. Raises DatasetError with the problems of all of them."""
        from bench.data.dataset import DatasetError
        from bench.data.manifest import build_manifest
        from bench.data.paired import PairedDataset, split_files

        looked: dict[str, PairedDataset] = {}
        problems = []
        for split in self.splits:
            files = split_files(self.entry, layout, root, split, self.size or self.entry.size_px)
            try:
                with _progress(f"check {self.entry.name}/{split}", "pairs") as update:
                    manifest = build_manifest(files, progress=update, workers=self.workers, waiting=_waiting)
            except DatasetError as error:
                problems.append(str(error))
                continue
            looked[split] = PairedDataset(files=files, manifest=manifest)
        if problems:
            problems.append("put them right and run the same command again: only what changed is looked at again")
            raise DatasetError("\n".join(problems))
        return looked

    def _show(
        self,
        opened: Dataset,
        numbers: Statistics,
        manifest: Manifest | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        """Print a split's statistics, and write them with its manifest and its contact sheet."""
        from bench.data.contact_sheet import contact_sheet
        from bench.data.manifest import write_copy
        from bench.data.statistics import statistics_lines, write_statistics

        split = opened.split
        print(f"\n{opened.name}/{split}")
        for line in statistics_lines(numbers):
            print(f"  {line}")
        for warning in numbers.warnings:
            print(f"  WARNING        {warning}")
        write_statistics(numbers, self.out / f"{split}-statistics.json", self.out / f"{split}-classes.csv")
        written = [f"{split}-statistics.json", f"{split}-classes.csv"]
        if manifest is not None:
            write_copy(manifest, self.out / f"{split}-manifest.json")
            written.append(f"{split}-manifest.json")
        if self.sheet:
            count = min(self.sheet, len(opened))
            contact_sheet(opened, count, self.out / f"{split}.png", spread=True, augmentation=augmentation)
            written.append(f"{split}.png")
        print(f"  written        {self.out}: {', '.join(written)}")

    def _pack(self, splits: Sequence[PairedDataset], folder: Path) -> Path:
        from bench.data.packing import pack

        def announce(needed: int) -> None:
            print(f"\npacked copy: {needed / 1e9:,.2f} GB are written to {folder}")

        with _phases() as update:
            done = pack(splits, folder, workers=self.workers, progress=update, announce=announce, waiting=_waiting)
        state = "done" if done.written else "was there already"
        print(f"packed copy: {state}, {done.bytes / 1e9:,.2f} GB in all")
        return folder

    def _packed_copy(self, root: Path) -> None:
        """Check a packed copy, and show what it was made of."""
        from bench.data.dataset import Augmentation
        from bench.data.pack_index import TRAINED, spelled, verify
        from bench.data.packed import open_packed
        from bench.data.statistics import split_statistics

        with _phases() as update:
            index = verify(root, workers=self.workers, progress=update)
        sizes = ", ".join(spelled(size) for size in index.sizes)
        print(f"{self.entry.name}: {root}, packed copy for {sizes} px of {index.made_from['root']}, checksums agree")
        for split in (name for name in index.pairs if name in self.splits):
            opened = open_packed(self.entry, root, split, self.size or index.sizes[0])
            scale = opened.augmentation_rule.load_scale
            window = Augmentation(flip=False, load_scale=scale, crop_y=0.5, crop_x=0.5)
            value = opened.files.dont_care_value
            numbers = split_statistics(opened, opened.manifest, dont_care_value=value)
            self._show(opened, numbers, opened.manifest, window if split == TRAINED else None)


def _warned(opened: PairedDataset, warnings: Sequence[str]) -> PairedDataset:
    together = (*opened.manifest.warnings, *warnings)
    return replace(opened, manifest=replace(opened.manifest, warnings=together))


def _waiting() -> None:
    print("another process works on the same files; waiting for it", file=sys.stderr)


@contextmanager
def _progress(head: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A line that shows (done, of), the rate and the time left."""
    from rich.console import Console

    from bench.launching.progress import ProgressLine

    console = Console()
    first: list[tuple[float, int]] = []
    with ProgressLine(console, head) as line:

        def update(done: int, of: int) -> None:
            now = time.monotonic()
            if not first:
                first.append((now, done))
            seconds, fresh = now - first[0][0], done - first[0][1]
            if seconds < _SHORT_S and not console.is_terminal:
                return
            text = f"{done:,} of {of:,} {unit}"
            if fresh and seconds > _SHORT_S:
                rate = fresh / seconds
                text += f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.2g}/s"
                if not console.is_terminal and done < of:  # a live line has its own column for it
                    text += f", {_spelled_time((of - done) * seconds / fresh)} left"
            line.update(done, of, text)

        yield update


@contextmanager
def _phases() -> Iterator[Callable[[str, int, int], None]]:
    """A line for each thing that is done one after the other."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        current: list[tuple[str, Callable[[int, int], None]]] = []

        def update(what: str, done: int, of: int) -> None:
            if not current or current[0][0] != what:
                stack.close()
                unit = "bytes" if what == "checksums" else "pairs"
                current[:] = [(what, stack.enter_context(_progress(what, unit)))]
            current[0][1](done, of)

        yield update


def _spelled_time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _next_line(entry: DatasetEntry, root: Path | None, size: str | None, split: str | None) -> str:
    """What to type next: to train, and to judge."""
    from baselines.registry import get_variant
    from bench.evaluation.protocols import protocol_for

    if root is None:
        return "\nnext: ./run_study.py run quickstart"
    named = f"\nnext: export {entry.root_variable}={shlex.quote(str(root))} && "
    doctor = f"./run_study.py doctor --protocol {protocol_for(entry.name).name}"
    if split == "val":
        return f"{named}{doctor}"
    train = f"./run_study.py train spade-decoder --dataset {entry.name}" + (f" --size {size}" if size else "")
    if entry.name not in get_variant("spade-decoder").recipes[0].schedules:
        train += " --epochs 100"
    return f"{named}{train}\nto judge: {doctor}"
