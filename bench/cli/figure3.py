"""The verb ``figure3``: what generators make of maps of a single label.

A verb and not a study: a study trains every row and scores it by a protocol; here nothing is trained or scored, and
most rows are networks as training starts with them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import DEFAULT_STORE, JsonOption, SizeOption, StoreOption, parse_size

if TYPE_CHECKING:
    from bench.data.entry import DatasetEntry
    from bench.evaluation.uniform_maps import UniformResponse

UNTRAINED = (
    "pix2pixhd",
    "pix2pixhd-pp",
    "concat-decoder",
    "crn-single",
    "spade-decoder-instance-norm",
    "spade-decoder",
)
_SIZE = (64, 64)
_LABELS = 6
_DETAILS = {
    "alone": "each map by itself",
    "together": "all maps in one batch",
    "running": "running statistics",
}


def register(app: typer.Typer) -> None:
    """Add this module's verb to the command line."""
    app.command("figure3")(figure3)


def figure3(
    variant: Annotated[
        list[str] | None,
        typer.Option(
            "--variant", metavar="NAME", help="An untrained generator (may be repeated).", show_default="six of them"
        ),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="A trained generator: its newest checkpoint (may be repeated)."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Whose labels.", show_default="the run's; synthetic")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="ID,ID,...", help="Label ids, at least two.", show_default="the first six")
    ] = None,
    size: SizeOption = None,
    width: Annotated[int, typer.Option(help="Width of the untrained generators.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the untrained weights and of z.")] = 0,
    store: StoreOption = DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where figure and numbers go.")] = Path(
        "results/figure3"
    ),
    as_json: JsonOption = False,
) -> None:
    """Feed maps of one label to generators: does a normalization wash the label out? (paper, figure 3)

    Untrained generators are seen twice, with the batch-norm statistics of each map by itself and of all maps together;
    trained ones with those that training left. Everything in float64; writes figure3.svg, figure3.png, figure3.json.
    """
    from bench.atomic import write_json
    from bench.data.registry import dataset_spec
    from bench.evaluation.uniform_maps import first_normalization

    runs = [_run(store, text) for text in run or []]
    names = {item.dataset.name for item, _ in runs} | ({dataset} if dataset else set())
    if len(names) > 1:
        raise ValueError(f"figure3: one data set's labels are shown, these are of {', '.join(sorted(names))}")
    entry = dataset_spec(names.pop() if names else "synthetic")
    ids = _ids(labels, entry)
    px = parse_size(size) or (runs[0][0].dataset.size if runs else _SIZE)
    chosen = variant if variant is not None else ([] if runs else list(UNTRAINED))
    first = first_normalization(len(ids), px, seed)
    untrained = [item for name in chosen for item in _untrained(name, entry, ids, px, width, seed)]
    trained = [_trained(spec, path, entry, ids, seed) for spec, path in runs]
    result = {
        "dataset": entry.name,
        "labels": {str(label): entry.class_names[label] for label in ids},
        "size": list(px),
        "seed": seed,
        "width_of_untrained": width,
        "first_normalization": first,
        "rows": [{**item.to_json(), "trained": item in trained} for item in (*untrained, *trained)],
    }
    write_json(out / "figure3.json", result)
    _draw(untrained, trained, entry, ids, first, out)
    print(json.dumps(result, indent=2)) if as_json else _print(result, out)


def _run(store: Path, text: str) -> tuple[Any, Path]:
    """The specification of a run and its newest checkpoint."""
    from bench.store import Store
    from bench.training.checkpoint import checkpoint_path

    folder = Store(store).find_run(text)
    step = folder.saved_step()
    if not step:
        raise ValueError(f"run {folder.name} has no checkpoint yet; train it first")
    return folder.spec(), checkpoint_path(folder.checkpoints, step)


def _ids(labels: str | None, entry: DatasetEntry) -> list[int]:
    if labels is None:
        return list(range(min(_LABELS, entry.spec.ids)))
    try:
        ids = [int(item) for item in labels.split(",")]
    except ValueError as error:
        raise ValueError(f"--labels {labels!r}: give ids with commas between them, such as 0,1,4") from error
    wrong = [item for item in ids if not 0 <= item < entry.spec.ids]
    if wrong or len(set(ids)) < 2 or len(set(ids)) < len(ids):
        raise ValueError(
            f"--labels {labels!r}: at least two different ids of 0 to {entry.spec.ids - 1} ({entry.name}); "
            f"`show dataset {entry.name}` lists them"
        )
    return ids


def _untrained(
    name: str, entry: DatasetEntry, ids: list[int], px: tuple[int, int], width: int, seed: int
) -> list[UniformResponse]:
    """The responses of one variant, by itself and in a batch where its batch norms make a difference."""
    from baselines.registry import get_variant
    from bench.data.fitting import fitted
    from bench.evaluation.uniform_maps import respond, untrained_generator

    variant = fitted(get_variant(name), entry.upsampling).scaled(width=width)
    generator = untrained_generator(variant, entry.spec, px, seed)
    z_dim = _z_dim(variant.generator)
    kinds = ("alone", "together") if _has_batch_norm(variant.generator) else ("alone",)
    return [
        respond(variant.name, generator, ids, entry.spec, px, statistics=kind, z_dim=z_dim, seed=seed)  # type: ignore[arg-type]
        for kind in kinds
    ]


def _trained(run: Any, path: Path, entry: DatasetEntry, ids: list[int], seed: int) -> UniformResponse:
    from bench.evaluation.uniform_maps import respond
    from bench.training.checkpoint import load_checkpoint

    generator = run.generator.build(entry.spec, run.dataset.size)
    state = load_checkpoint(path)
    generator.load_state_dict(state["networks"]["generator"])
    name = f"{run.variant}, step {state['step']}"
    return respond(
        name,
        generator.double(),
        ids,
        entry.spec,
        run.dataset.size,
        statistics="running" if _has_batch_norm(run.generator) else "alone",
        z_dim=_z_dim(run.generator),
        seed=seed,
    )


def _has_batch_norm(settings: Any) -> bool:
    return "batch" in getattr(settings, "norm", "instance")


def _z_dim(settings: Any) -> int | None:
    return int(getattr(settings, "z_dim", 256)) if getattr(settings, "source", "segmap") == "z" else None


def _draw(
    untrained: list[UniformResponse],
    trained: list[UniformResponse],
    entry: DatasetEntry,
    ids: list[int],
    first: dict[str, float],
    out: Path,
) -> None:
    import numpy as np

    from bench.data.entry import palette
    from bench.reporting.uniform_maps import UniformRow, draw_uniform_maps

    rows = [
        UniformRow(
            name=item.name,
            detail=f"{state}, {_DETAILS[item.statistics]}",
            share=item.share,
            images=item.images,
            stretched=state == "untrained",
        )
        for state, items in (("untrained", untrained), ("trained", trained))
        for item in items
    ]
    colours = np.asarray(palette(entry), np.uint8)[ids]
    draw_uniform_maps(rows, [entry.class_names[label] for label in ids], colours, first, out)


def _print(result: dict[str, Any], out: Path) -> None:
    from bench.cli.catalogue import print_table

    print("largest difference between the activations of two labels behind the first normalization (float64)\n")
    print_table(
        [{"layer": kind, "difference": f"{value:.1e}"} for kind, value in result["first_normalization"].items()]
    )
    print("\nmean difference between the images of two labels: of 255, and as a share of the images' mean value\n")
    print_table(
        [
            {
                "generator": row["name"],
                "state": f"{'trained' if row['trained'] else 'untrained'}, {_DETAILS[row['statistics']]}",
                "of 255": f"{row['distance']:.3g}",
                "share": f"{row['share']:.3g}",
                "with rounding": f"{row['share_as_computed']:.3g}",
                "labels": "told apart" if row["told_apart"] else "washed out",
            }
            for row in result["rows"]
        ]
    )
    print(
        "\nwith rounding: where the errors of floating point are left to grow; a mean is off by 1e-14 behind the first "
        f"normalization,\nand every further one magnifies what is left.\nfigure {out / 'figure3.png'}"
    )
