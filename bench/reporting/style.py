"""The one look of all figures: colours, markers, fonts, and how a figure is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.atomic import written_beside

INK = "#222222"
SOFT = "#6b6b6b"
RULE = "#d9d9d9"
# The palette of Okabe and Ito (2008), told apart by readers with any colour vision; grey stands in for its yellow,
# which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8c8c8c")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
Kind = Literal["svg", "png", "pdf"]
PNG_DPI = 200

_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "spade-bench",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure on disk."""

    files: tuple[Path, ...]
    shown: Path
    """The one that pages show."""
    caption: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How one row looks in every figure of a study."""

    colour: str
    marker: str
    filled: bool


def mark(index: int) -> Mark:
    """The look of the row at ``index``: eight filled marks, then the same eight hollow."""
    return Mark(
        colour=COLOURS[index % len(COLOURS)],
        marker=MARKERS[index % len(MARKERS)],
        filled=(index // len(COLOURS)) % 2 == 0,
    )


@contextmanager
def styled() -> Iterator[None]:
    """The settings above for the figures made inside, nothing for those outside."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        yield


def save(figure: Any, out: Path, name: str, caption: str, kinds: Sequence[Kind] = ("svg", "png")) -> Drawn:
    """Write ``figure`` under ``out`` as ``name`` with every suffix of ``kinds``; pages show the first.

    Equal figures give equal files: no dates, no random ids.
    """
    metadata: dict[Kind, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    files: list[Path] = []
    for kind in kinds:
        path = out / f"{name}.{kind}"
        with written_beside(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=PNG_DPI, facecolor="white", metadata=metadata[kind])
        files.append(path)
    return Drawn(files=tuple(files), shown=files[0], caption=caption)


def settle(figure: Any) -> None:
    """Lay the figure out once and for all: it is faster to write then, and labels stay where they were put."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")
    assert canvas is figure.canvas


def darker(colour: str, share: float = 0.3) -> str:
    """``colour`` (#rrggbb) mixed with black, for text on white."""
    channels = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(channel * (1 - share)):02x}" for channel in channels)
