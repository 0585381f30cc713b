"""The one look of all figures: colours, markers, fonts, and how a figure is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bench.atomic import written_beside
from bench.reporting.families import families
from bench.study import Row

INK = "#222222"
SOFT = "#6b6b6b"
RULE = "#d9d9d9"
# The palette of Okabe and Ito (2008), told apart by readers with any colour vision; grey stands in for its yellow,
# which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#666666")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
Kind = Literal["svg", "png", "pdf"]
PNG_DPI = 200
_TEXT_CONTRAST = 4.5

_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # where it would be put, without looking for it at every drawing
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
    title: str
    """A few words: what is drawn against what."""
    caption: str


DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How one row looks in every figure of a study."""

    colour: str
    marker: str
    filled: bool
    dash: Any = "-"
    """Line style of its curve."""

    @property
    def face(self) -> str:
        """Fill of its marker."""
        return self.colour if self.filled else "white"


def mark(index: int) -> Mark:
    """The look of the row at ``index``: eight filled marks, then the same eight hollow."""
    filled = (index // len(COLOURS)) % 2 == 0
    return Mark(
        colour=COLOURS[index % len(COLOURS)],
        marker=MARKERS[index % len(MARKERS)],
        filled=filled,
        dash=DASHES[0] if filled else DASHES[1],
    )


def row_marks(rows: Sequence[Row]) -> list[Mark]:
    """The look of every row of a study.

    Rows of one family (:func:`bench.reporting.families.families`) share colour and marker; the first is filled, the
    others are hollow with dashed curves, and in families of many the later ones are paler.
    """
    family_of = {index: group for group in families(rows) for index in group}
    marks: dict[int, Mark] = {}
    used = 0
    for index in range(len(rows)):
        if index in marks:
            continue
        look, group = mark(used), family_of.get(index, (index,))
        used += 1
        for place, member in enumerate(sorted(group)):
            share = 0.55 * place / (len(group) - 1) if len(group) > len(DASHES) else 0.0
            marks[member] = replace(
                look,
                colour=lighter(look.colour, share),
                filled=look.filled if place == 0 else not look.filled,
                dash=look.dash if place == 0 else DASHES[place % len(DASHES)],
            )
    return [marks[index] for index in range(len(rows))]


def load_matplotlib() -> None:
    """Load what every figure needs, so that processes forked afterwards have it."""
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401


@contextmanager
def styled() -> Iterator[None]:
    """The settings above for the figures made inside, nothing for those outside."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        yield


def save(
    figure: Any, out: Path, name: str, *, title: str, caption: str, kinds: Sequence[Kind] = ("svg", "png")
) -> Drawn:
    """Write ``figure`` under ``out`` as ``name`` with every suffix of ``kinds``; pages show the first.

    The files carry title and caption as metadata. Equal figures give equal files: no dates, no random ids.
    """
    metadata: dict[Kind, dict[str, str | None]] = {
        "svg": {"Title": title, "Description": caption, "Date": None},
        "pdf": {"Title": title, "Subject": caption, "CreationDate": None},
        "png": {"Title": title, "Description": caption},
    }
    files: list[Path] = []
    for kind in kinds:
        path = out / f"{name}.{kind}"
        with written_beside(path) as temporary:
            _write(figure, kind, temporary, metadata[kind])
        files.append(path)
    return Drawn(files=tuple(files), shown=files[0], title=title, caption=caption)


def _write(figure: Any, kind: Kind, path: Path, metadata: dict[str, str | None]) -> None:
    """What ``savefig`` does, without its second drawing, which only a layout that is not settled needs."""
    figure.set_facecolor("white")
    figure.dpi = PNG_DPI
    if kind == "png":
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas: Any = FigureCanvasAgg(figure)
        canvas.print_png(path, metadata=metadata, pil_kwargs={"compress_level": 4})
    elif kind == "svg":
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(path, metadata=metadata)
    else:
        from matplotlib.backends.backend_pdf import FigureCanvasPdf

        canvas = FigureCanvasPdf(figure)
        canvas.print_pdf(path, metadata=metadata)


def settle(figure: Any) -> None:
    """Lay the figure out once and for all: it is faster to write then, and labels stay where they were put."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.dpi = PNG_DPI
    canvas: Any = FigureCanvasAgg(figure)
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")
    assert canvas is figure.canvas


def readable(colour: str) -> str:
    """``colour`` (#rrggbb) mixed with black until text in it can be read on white (WCAG 2, AA: contrast 4.5)."""
    for percent in range(30, 100, 5):
        mixed = _mixed(colour, 0, percent / 100)
        if contrast_on_white(mixed) >= _TEXT_CONTRAST:
            return mixed
    return INK


def contrast_on_white(colour: str) -> float:
    """Contrast ratio of ``colour`` (#rrggbb, sRGB) and white by WCAG 2: 1 to 21."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    luminance = sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return 1.05 / (luminance + 0.05)


def lighter(colour: str, share: float) -> str:
    """``colour`` (#rrggbb) mixed with white."""
    return _mixed(colour, 255, share)


def _mixed(colour: str, other: int, share: float) -> str:
    channels = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(channel * (1 - share) + other * share):02x}" for channel in channels)
