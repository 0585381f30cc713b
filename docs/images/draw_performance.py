"""Draw docs/images/performance.png from the measured figures in results/benchmarks.

    python docs/images/draw_performance.py results/benchmarks/HARDWARE

Left: distinct neighbourhoods by resolution. Right: where the time of a forward pass goes, in the released order of
operations and in ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

mpl.use("Agg")
HERE = Path(__file__).resolve().parent
DATASETS = {
    "coco_stuff": ("COCO-Stuff, 256 x 256 px", "#1f6f8b"),
    "cityscapes": ("Cityscapes, 512 x 256 px", "#d1743c"),
}
GROUPS = {
    "convolutions": ("convolution", "mkldnn"),
    "products for the tables": ("aten::mm", "aten::addmm"),
    "sums and reads of rows": ("embedding_bag", "index_select", "aten::index"),
    "distinct windows": ("unique", "sort"),
    "element-wise, copies, statistics": ("",),
}
COLOURS = ("#1f6f8b", "#7fb7be", "#d1743c", "#8a5a83", "#c9c5ba")


def grouped(profile: list[dict[str, Any]], seconds: float) -> dict[str, float]:
    """Seconds of each group of operations; what the profile does not list counts with the last."""
    shares = dict.fromkeys(GROUPS, 0.0)
    for row in profile:
        group = next(name for name, words in GROUPS.items() if any(word in row["operation"] for word in words))
        shares[group] += row["share"]
    shares[list(GROUPS)[-1]] += 1 - sum(shares.values())
    return {name: share * seconds for name, share in shares.items()}


def draw_distinct(axes: Any, results: dict[str, dict[str, Any]]) -> None:
    """One line a data set, the largest share of any map as a whisker."""
    for name, result in results.items():
        title, colour = DATASETS[name]
        sides = [int(size.split("x")[0]) for size in result["distinct"]]
        means = [shares["patches_percent"] for shares in result["distinct"].values()]
        most = [shares["patches_percent_most"] for shares in result["distinct"].values()]
        above = [high - middle for high, middle in zip(most, means, strict=True)]
        axes.errorbar(sides, means, [[0] * len(means), above], color=colour, marker="o", capsize=3, label=title)
        axes.annotate(f"{means[0]:.0f} %", (sides[0], means[0]), (6, 5), textcoords="offset points", color=colour)
    axes.set_xscale("log", base=2)
    ticks = sorted({int(size.split("x")[0]) for result in results.values() for size in result["distinct"]})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlim(ticks[0] * 0.8, ticks[-1] * 1.5)
    axes.set_ylim(0, 105)
    axes.set_xlabel("height of the features in px")
    axes.set_ylabel("distinct neighbourhoods, % of the pixels")
    axes.set_title("Most neighbourhoods repeat where the pixels are", loc="left", fontsize=11)
    axes.legend(frameon=False, loc="lower left")


def draw_time(axes: Any, results: dict[str, dict[str, Any]]) -> None:
    """Two bars a data set, cut into groups of operations."""
    labels, position = [], 0.0
    for name, result in results.items():
        for which, title in (("reference", "released order"), ("fast", "here")):
            left = 0.0
            parts = grouped(result["profile"][which], result[f"{which}_s"])
            for (group, seconds), colour in zip(parts.items(), COLOURS, strict=True):
                label = group if not labels else None
                axes.barh(position, seconds, left=left, color=colour, label=label, height=0.7)
                left += seconds
            note = f" {left:.2f} s" + (f"  ({result['ratio']:.1f}x)" if which == "fast" else "")
            axes.text(left, position, note, va="center", fontsize=9)
            labels.append((position, f"{DATASETS[name][0].split(',')[0]}\n{title}"))
            position += 1
        position += 0.4
    axes.set_yticks([place for place, _ in labels], [text for _, text in labels])
    axes.invert_yaxis()
    axes.set_xlim(0, max(result["reference_s"] for result in results.values()) * 1.2)
    place = next(iter(results.values()))["environment"]
    clock = "processor seconds" if place["clock"] == "processor" else "seconds"
    axes.set_xlabel(f"{clock} of a forward pass of one image, {place['processor']}, {place['threads']} threads")
    axes.set_title("Where the time goes, before and after", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def main(folder: Path) -> None:
    """Read what was measured in ``folder`` and write performance.png beside this file."""
    files = {name: folder / f"generator-{name}.json" for name in DATASETS}
    results = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()}
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 4.3), width_ratios=(1, 1.35), layout="constrained")
    draw_distinct(left, results)
    draw_time(right, results)
    figure.savefig(HERE / "performance.png", dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
