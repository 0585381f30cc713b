"""What may be asked of a report beside the study and the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Interval = Literal["seeds", "images", "both"]
INTERVALS: tuple[Interval, ...] = get_args(Interval)


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Raises ValueError for an interval that is not one of INTERVALS."""

    interval: Interval = "seeds"
    """What the intervals speak for: other seeds, other images, or both. One seed alone has one over images at most."""
    cost: bool = False
    """Whether the tables have columns of multiply-adds, memory, speed and GPU-hours. (The CSV always has them.)"""
    mix_protocols: bool = False
    """Whether a cell without an evaluation by its column's protocol shows one by another, marked and footnoted."""
    external: bool = False
    """Whether imported images and checkpoint files that the same protocol has judged are rows too."""

    def __post_init__(self) -> None:
        if self.interval not in INTERVALS:
            raise ValueError(f"interval is {self.interval!r}; allowed are: {', '.join(INTERVALS)}")


DEFAULT = ReportOptions()
