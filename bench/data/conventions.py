"""How a generator wants the label ids: as the files have them, or renumbered. Free of torch and numpy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LabelConvention:
    """A renumbering of a data set's label ids for generators that were trained on other numbers.

    Raises ValueError where two ids would become one, or one would leave the range of the ids.
    """

    name: str
    of_label: tuple[int, ...]
    """By label id of the data set (as ``Sample.labels`` holds them): the id that the generator is given."""
    source: str
    """Who uses it, and where that is known from."""

    def __post_init__(self) -> None:
        if sorted(self.of_label) != list(range(len(self.of_label))):
            raise ValueError(
                f"label convention {self.name!r}: of_label must name each of 0 to {len(self.of_label) - 1} once; "
                f"it is {self.of_label}"
            )


def raw(ids: int, source: str) -> LabelConvention:
    """The convention that leaves the ids as they are."""
    return LabelConvention(name="raw", of_label=tuple(range(ids)), source=source)


def ade20k_shifted() -> LabelConvention:
    """ADE20K's classes from 0 on and unknown last: what the released code meant to do."""
    return LabelConvention(
        name="shifted",
        of_label=(150, *range(150)),
        source="label - 1, unknown (0) becomes 150: what the released code's postprocess intends and never writes "
        "back; re-implementations that do shift expect it",
    )
