"""Draw docs/images/performance.png from counted and measured figures.

    python docs/images/draw_performance.py results/benchmarks/operations-coco_stuff.json ...-cityscapes.json

The files are those of ``benchmark operations --json``. Left: distinct neighbourhoods by size; right: operations of
a forward pass in the released order and in ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
COLOURS = ("#1f6f8b", "#d1743c")
PARTS = {
    "label map": ("first convolution, of the label map", "#d1743c"),
    "gamma and beta": ("second convolutions, gamma and beta", "#e8b98f"),
    "features": ("convolutions of features", "#1f6f8b"),
}


def title_of(result: dict[str, Any]) -> str:
    """Data set and size."""
    height, width = result["size"]
    name = {"coco_stuff": "COCO-Stuff", "cityscapes": "Cityscapes"}[result["maps"].split()[0]]
    return f"{name}, {width} x {height} px"


def draw_distinct(axes: Any, results: list[dict[str, Any]]) -> None:
    """One line a data set, with the largest share of any map as a whisker."""
    for shift, (result, colour) in enumerate(zip(results, COLOURS, strict=False)):
        sides = [int(size.split("x")[0]) * (1 + 0.04 * shift) for size in result["distinct"]]
        means = [shares["patches_percent"] for shares in result["distinct"].values()]
        most = [shares["patches_percent_most"] for shares in result["distinct"].values()]
        above = [high - middle for high, middle in zip(most, means, strict=True)]
        axes.errorbar(
            sides, means, [[0] * len(means), above], color=colour, marker="o", capsize=3, label=title_of(result)
        )
    ticks = sorted({int(size.split("x")[0]) for result in results for size in result["distinct"]})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_ylim(0, 105)
    axes.grid(axis="y", color="#e6e6e6")
    axes.set_axisbelow(True)
    axes.set_xlabel("height of the features in px")
    axes.set_ylabel("distinct neighbourhoods, % of the pixels")
    axes.set_title("Where the pixels are, neighbourhoods repeat", loc="left", fontsize=11)
    axes.legend(frameon=False, loc="lower left", title="mean over the maps; whisker: the worst", title_fontsize=8)


def draw_operations(axes: Any, results: list[dict[str, Any]]) -> None:
    """Two bars a data set, cut into what is convolved."""
    places, names, position = [], [], 0.0
    for result in results:
        for which, label in (("reference", "released order"), ("fast", "here")):
            left = 0.0
            for part, (_, colour) in PARTS.items():
                value = result[f"{which}_gflop_of"][part]
                axes.barh(position, value, left=left, color=colour, height=0.72)
                left += value
            note = f" {left:.0f}" + (f"  ({result['ratio']:.1f} times fewer)" if which == "fast" else "")
            axes.text(left, position, note, va="center", fontsize=9)
            places.append(position)
            names.append(f"{title_of(result)}\n{label}")
            position += 1
        position += 0.4
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, max(result["reference_gflop"] for result in results) * 1.1)
    axes.set_xlabel("GFLOP of a forward pass of one image, mean over the maps")
    axes.set_title("What is computed, before and after", loc="left", fontsize=11)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour, label=text) for text, colour in PARTS.values()]
    axes.legend(handles=handles, frameon=False, fontsize=8, loc="center right", bbox_to_anchor=(1.0, 0.64))


def main(files: list[Path]) -> None:
    """Read what was counted and write performance.png beside this file."""
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 4.3), width_ratios=(1, 1.3), layout="constrained")
    draw_distinct(left, results)
    draw_operations(right, results)
    figure.savefig(HERE / "performance.png", dpi=150)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
