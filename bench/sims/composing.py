"""The composition stage: retrieved, transformed and ordered segments become canvases."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from baselines.sims.canvas import Canvas, Piece, agreement, class_counts, elide, paste
from baselines.sims.segments import find_segments
from bench.atomic import written_beside
from bench.data.dataset import Dataset
from bench.sims.arranging import order_verb, read_order
from bench.sims.bank import Bank, open_bank
from bench.sims.classes import SimsClasses
from bench.sims.ordering import trained_order
from bench.sims.retrieval import read_retrieved
from bench.sims.stage import (
    Arrays,
    Progress,
    Record,
    Stage,
    StageError,
    check_made_from,
    in_parts,
    read_record,
    run_stage,
)
from bench.sims.transforming import read_transformation, trained_transformation
from bench.sims.workspace import Choice, Workspace

_STREAM = 0xE11D
_MAPS_PER_PART = 32


def compose(
    workspace: Workspace,
    choice: Choice,
    *,
    seed: int = 0,
    context: bool = True,
    again: bool = False,
    progress: Progress = lambda *_: None,
) -> tuple[Record, bool]:
    """Make the canvas of every label map. Returns (record, whether it had to be made).

    The notes say how the canvases, before elision, agree with the label maps and the photographs.
    """
    bank, _ = open_bank(workspace)
    retrieved, retrieved_record = read_retrieved(workspace, choice)
    theta, chosen, transformation_record = read_transformation(workspace, choice)
    order, order_record = read_order(workspace, choice)
    _check_of_one_system(workspace, choice, retrieved_record, transformation_record, order_record)
    if not len(theta) == len(order) == len(retrieved.map_of):
        raise StageError(
            f"{workspace.folder}: {len(retrieved.map_of)} segments were retrieved, {len(theta)} placed and "
            f"{len(order)} ordered; run retrieve, transform and order again for {choice.split}"
        )
    dataset = workspace.open(choice.split)
    inputs = {
        "retrieval": retrieved_record.content,
        "transformation": transformation_record.content,
        "order": order_record.content,
        choice.split: workspace.manifest(dataset),
    }
    stage = Stage(
        name="compose",
        folder=workspace.place("canvases", choice.name),
        settings={"seed": seed, "context": context},
        inputs=inputs,
    )

    taken = retrieved.found[np.arange(len(chosen)), chosen]

    def part(maps: range) -> Arrays:
        compared = []
        for index in maps:
            queries = retrieved.of_map(index)
            sample = dataset.load(index)
            of_map = workspace.classes.of_label[sample.labels]
            wanted = find_segments(of_map, workspace.rule).masks
            pieces = _pieces(bank, taken, retrieved.class_of, theta, queries, wanted)
            canvas = _pasted(pieces, order[queries].tolist(), workspace.size, context=context)
            compared.append(_compared(canvas, of_map, workspace.classes, sample.image))
            rng = np.random.default_rng((_STREAM, seed, zlib.crc32(sample.id.encode())))
            _write(stage.folder / f"{sample.id}.png", elide(canvas, rng))
        sums, counts = zip(*compared, strict=True)
        return {"sums": np.array(sums), "classes": np.array(counts)}

    def work() -> Mapping[str, Any]:
        count, path = workspace.count(dataset), stage.folder / "agreement.npz"
        found = in_parts(path, count, part, per=_MAPS_PER_PART, what="canvases", progress=progress)
        return {"canvases": count, **shares(found["sums"].sum(0), found["classes"].sum(0))}

    return run_stage(stage, work, again=again)


def _check_of_one_system(
    workspace: Workspace, choice: Choice, retrieved: Record, transformation: Record, order: Record
) -> None:
    """Raises StageError where segments were placed or ordered by what was retrieved, or learned, before."""
    placing = f"transform {told(choice, order=False)}"
    check_made_from(transformation, "retrieval", retrieved, placing)
    if not choice.identity:
        check_made_from(transformation, "network", trained_transformation(workspace), placing)
    if not choice.random_order:
        check_made_from(order, "network", trained_order(workspace), order_verb(choice))


def _compared(
    canvas: Canvas, of_map: NDArray[np.integer], classes: SimsClasses, image: NDArray[np.uint8]
) -> tuple[list[float], NDArray[np.int64]]:
    """What :func:`shares` adds up, of one canvas."""
    asked = of_map != classes.none
    found = agreement(canvas, of_map, asked, image)
    sums = [float(value) for value in (found.asked, found.covered, found.agreeing, found.colour_error)]
    return sums, class_counts(canvas, of_map, asked, classes.count)


def shares(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> dict[str, float]:
    """Percentages and a mean of the sums (asked, covered, agreeing, colour error) over the pixels of many canvases.

    ``label_agreement`` is the share of all pixels that belong to a class where the canvas has that class: an empty
    pixel disagrees. ``label_miou`` is the intersection over union of the two, averaged over the classes that occur in
    the label maps, from ``counts`` (K, 3) as ``class_counts`` has them: each class weighs the same, however small its
    segments. ``colour_l1`` (0 to 255) counts an empty pixel as the photograph's mean colour.
    """
    both, ours, wanted = counts[counts[:, 2] > 0].astype(np.float64).T
    miou = float(np.mean(both / (ours + wanted - both))) if len(both) else 0.0
    asked = max(float(sums[0]), 1.0)
    return {
        "covered": round(100 * float(sums[1]) / asked, 3),
        "label_agreement": round(100 * float(sums[2]) / asked, 3),
        "label_miou": round(100 * miou, 3),
        "colour_l1": round(float(sums[3]) / asked, 3),
    }


def _pieces(
    bank: Bank,
    numbers: NDArray[np.int64],
    class_of: NDArray[np.int64],
    theta: NDArray[np.float64],
    queries: NDArray[np.int64],
    masks: NDArray[np.bool_],
) -> dict[int, Piece]:
    """The pieces of one map by the number of their segment; those for which nothing was found are left out."""
    if len(queries) != len(masks):
        raise StageError(
            f"a label map has {len(masks)} segments and {len(queries)} were retrieved for it; run retrieve again"
        )
    made = {}
    for number, (query, wanted) in enumerate(zip(queries, masks, strict=True)):
        found = int(numbers[query])
        if found >= 0:
            source = int(bank.image_of[found])
            made[number] = Piece(
                image=bank.image(source),
                classes=bank.class_map(source),
                mask=bank.mask(found),
                label=int(class_of[query]),
                theta=theta[query],
                wanted=wanted,
            )
    return made


def _pasted(pieces: Mapping[int, Piece], order: Sequence[int], size: tuple[int, int], *, context: bool) -> Canvas:
    """The pieces, by the number of their segment, in the order of the segments that have one."""
    places = {number: place for place, number in enumerate(pieces)}
    return paste(list(pieces.values()), [places[number] for number in order if number in pieces], size, context=context)


def _write(path: Path, canvas: Canvas) -> None:
    """A PNG with the mask as its alpha channel."""
    alpha = np.where(canvas.mask, np.uint8(255), np.uint8(0))
    with written_beside(path, durable=False) as temporary:
        Image.fromarray(np.dstack([canvas.image, alpha])).save(temporary, format="PNG")


def read_canvas(folder: Path, dataset: Dataset, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Colours (H, W, 3) and mask (H, W) of a label map's canvas."""
    path = folder / f"{dataset.sample_id(index)}.png"
    try:
        with Image.open(path) as opened:
            pixels = np.asarray(opened.convert("RGBA"))
    except OSError as error:
        raise StageError(f"{path}: cannot be read ({error}); run `./run_study.py sims compose --again`") from error
    return pixels[..., :3], pixels[..., 3] > 0


def read_canvases(workspace: Workspace, choice: Choice) -> Record:
    """The finished canvases. Raises StageError where they are not there."""
    return read_record(workspace.place("canvases", choice.name), f"compose {told(choice)}")


def told(choice: Choice, *, order: bool = True) -> str:
    """The options that make a choice; without ``order`` those of the stages before it."""
    options = {
        "--random-retrieval": choice.random_retrieval,
        "--identity": choice.identity,
        "--random-order": choice.random_order and order,
    }
    return " ".join([f"--split {choice.split}", *(name for name, given in options.items() if given)])
