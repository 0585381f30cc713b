"""Width sweep of the decoder with SPADE: the capacity axis behind Tables 3 and 4, from half of the paper's width up.

What it reproduces: nothing the paper prints beyond 61M (width 48), 96M (64) and 141M (80); the widths between are ours,
and their paper cells are blank.

Data: --data coco_stuff=DIR --data ade20k=DIR --data cityscapes=DIR, or SPADE_BENCH_DATA_<NAME>.
Weights: vgg19 (training), each protocol's judge and inception-fid; `doctor --protocol P` tells what is missing.
Command: ./run_study.py plan width --data cityscapes=DIR, then run.
Cost: 9 runs a data set; widths 48, 64 and 80 are shared with Tables 3 and 4. Not measured by us.
Expected: mIoU hardly rises from 61M on (Table 3: 35.2 and 35.2, 38.0 and 38.5, 62.5 and 62.3).
"""

from __future__ import annotations

from baselines.registry import get_variant, list_variants
from baselines.sweeps import WIDTHS
from baselines.variant import Variant
from bench.study import Row, Study
from studies._paper import paper_study

PUBLISHED = {48: "61M", 64: "96M", 80: "141M"}


def study() -> Study:
    """Nine widths of the decoder with SPADE on three data sets, one seed."""
    return paper_study(
        "width",
        "Table 4: capacity, in more steps than the paper's three",
        "How wide must the generator be?",
        [_row(width) for width in WIDTHS],
    )


def _row(width: int) -> Row:
    variant = _variant(width)
    label = f"width {width}"
    return Row(label=label, variant=variant, recipe=variant.recipe(), published_method=PUBLISHED.get(width))


def _variant(width: int) -> Variant:
    """The registered variant of that width, whose runs other tables share, or the decoder scaled to it."""
    decoder = get_variant("spade-decoder")
    scaled = decoder.scaled(width=width)
    same = (item for item in list_variants() if (item.generator, item.recipes) == (scaled.generator, scaled.recipes))
    return next(same, scaled)
