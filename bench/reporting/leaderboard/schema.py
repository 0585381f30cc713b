"""The columns of leaderboard.csv: what programs may rely on. docs/leaderboard.md prints this very table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

VERSION = 1
"""Of the columns and their meaning; a new one where either changes."""
Type = Literal["string", "integer", "number", "boolean"]
Change = Literal["", "new", "up", "down", "same"]
CHANGES: tuple[Change, ...] = get_args(Change)


@dataclass(frozen=True, kw_only=True)
class CsvColumn:
    """One column of the file."""

    name: str
    type: Type
    meaning: str
    required: bool = True
    """Whether it is never empty."""
    allowed: tuple[str, ...] = ()
    """The only values there are; empty for any."""


def _column(
    name: str, type_: Type, meaning: str, *, optional: bool = False, allowed: tuple[str, ...] = ()
) -> CsvColumn:
    return CsvColumn(name=name, type=type_, meaning=meaning, required=not optional, allowed=allowed)


PROVENANCES = ("paper", "reconstruction", "extension", "unregistered", "external", "real images")

COLUMNS: tuple[CsvColumn, ...] = (
    _column(
        "board", "string", "what is ranked together, 8 hexadecimal digits: data set with its content, size, N, protocol"
    ),
    _column("dataset", "string", "the data set whose validation split is judged"),
    _column("size", "string", "height x width of the images in px, such as 256x512"),
    _column("protocol", "string", "name@version of the protocol"),
    _column("images", "integer", "N: images judged, for each seed"),
    _column("metric", "string", "the score of this line"),
    _column("unit", "string", "of mean, low and high", optional=True),
    _column("higher_is_better", "boolean", "true or false"),
    _column(
        "rank",
        "integer",
        "place within board, metric and judged_with, from 1, shared where intervals overlap; none for real images",
        optional=True,
    ),
    _column("tied", "integer", "how many entries share the place, itself included", optional=True),
    _column(
        "change",
        "string",
        "against the version of the board before the last change: new, up, down or same",
        optional=True,
        allowed=CHANGES,
    ),
    _column("previous_rank", "integer", "the place in that version; empty for what is new", optional=True),
    _column("variant", "string", "registered name, the name of imported images, or `real`"),
    _column(
        "provenance",
        "string",
        "paper, reconstruction, extension, unregistered (not known to this installation), external, or real images",
        allowed=PROVENANCES,
    ),
    _column("recipe", "string", "name of the recipe", optional=True),
    _column(
        "settings", "string", "what differs from the registered variant, recipe and the usual training", optional=True
    ),
    _column("steps", "integer", "optimisation steps of the training", optional=True),
    _column("batch_images", "integer", "global batch", optional=True),
    _column("weights", "string", "raw, or ema for the moving average", allowed=("raw", "ema")),
    _column(
        "selection", "string", "which checkpoint: last, or best by its score during training", allowed=("last", "best")
    ),
    _column(
        "entry",
        "string",
        "what is ranked, 8 hexadecimal digits: all that decides the weights but the seed, and what of it was judged",
    ),
    _column("seeds", "string", "training seeds in the mean, separated by spaces", optional=True),
    _column("n_seeds", "integer", "how many; 0 where nothing was trained here"),
    _column("mean", "number", "over the seeds", optional=True),
    _column("low", "number", "lower end of the 95 % interval over seeds; empty with one seed", optional=True),
    _column("high", "number", "upper end", optional=True),
    _column("reason", "string", "why there is no value", optional=True),
    _column("params", "integer", "parameters of the generator", optional=True),
    _column("run_ids", "string", "of the seeds, separated by spaces", optional=True),
    _column("eval_ids", "string", "of the evaluations, separated by spaces"),
    _column(
        "commits", "string", "of the training code, separated by spaces; + marks uncommitted changes", optional=True
    ),
    _column(
        "judged_with",
        "string",
        "the files that this score needs, as name=first 8 digits of their sha256, separated by spaces",
        optional=True,
    ),
)
NAMES = tuple(column.name for column in COLUMNS)
MOVING = ("change", "previous_rank")
"""Columns that tell of the version before; a board whose other columns are the same has not changed."""


def table_schema() -> Mapping[str, Any]:
    """The columns as a Table Schema (https://specs.frictionlessdata.io/table-schema/)."""
    fields = []
    for column in COLUMNS:
        constraints: dict[str, Any] = {"required": column.required}
        if column.allowed:
            constraints["enum"] = [value for value in column.allowed if value]
        fields.append(
            {"name": column.name, "type": column.type, "description": column.meaning, "constraints": constraints}
        )
    return {
        "title": "leaderboard",
        "version": VERSION,
        "fields": fields,
        "primaryKey": ["board", "metric", "judged_with", "entry"],
        "missingValues": [""],
    }


def markdown_table() -> str:
    """The columns as docs/leaderboard.md prints them."""
    lines = ["| column | type | empty? | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{column.name}` | {column.type} | {'' if column.required else 'maybe'} | {column.meaning} |"
        for column in COLUMNS
    ]
    return "\n".join(lines)
