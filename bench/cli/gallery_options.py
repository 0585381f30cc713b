"""Options that choose what a gallery shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.reporting.sampling import GalleryRule

RuleOption = Annotated[
    str,
    typer.Option(
        "--gallery-rule",
        metavar="first|random|best|worst",
        help="Which validation samples the gallery shows; the rule is printed with it.",
    ),
]
ImagesOption = Annotated[int, typer.Option("--gallery-images", help="How many of them.")]
SeedOption = Annotated[int, typer.Option("--gallery-seed", help="Seed of random.")]
RowOption = Annotated[
    str | None,
    typer.Option(
        "--gallery-row",
        metavar="ROW",
        help="Row whose mIoU within each image best and worst go by (the beginning of its label does).",
        show_default="the first judged one",
    ),
]


def gallery_rule(kind: str, images: int, seed: int, row: str | None) -> GalleryRule:
    """The rule that the options say. Raises ValueError naming the option that is wrong."""
    from bench.reporting.sampling import GalleryRule

    return GalleryRule(kind=kind, images=images, seed=seed, row=row or "")  # type: ignore[arg-type]
