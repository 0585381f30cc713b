"""Which validation samples a gallery shows: by a rule that is printed with it, never by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bench.store import Evaluation, Store

RuleKind = Literal["first", "random", "best", "worst"]
RULES: tuple[RuleKind, ...] = get_args(RuleKind)


@dataclass(frozen=True, kw_only=True)
class GalleryRule:
    """How the samples of a gallery are chosen."""

    kind: RuleKind = "first"
    """``first``: in the split's order; ``random``: drawn by ``seed``; ``best``, ``worst``: by the score within the
    image of one row."""
    images: int = 6
    """How many."""
    seed: int = 0
    """Of ``random``."""
    row: str = ""
    """Label of the row that ``best`` and ``worst`` go by, or its beginning; empty: the first judged row."""

    def __post_init__(self) -> None:
        if self.kind not in RULES:
            raise ValueError(f"--gallery-rule is {self.kind!r}; allowed are {', '.join(RULES)}")
        if self.images < 1:
            raise ValueError(f"--gallery-images is {self.images}; a gallery needs at least 1")
        if self.seed < 0:
            raise ValueError(f"--gallery-seed is {self.seed}; it must be at least 0")
        if self.row and not self.scored:
            raise ValueError(f"--gallery-row {self.row!r} means nothing with --gallery-rule {self.kind}; leave it out")
        if self.seed and self.kind != "random":
            raise ValueError(f"--gallery-seed {self.seed} means nothing with --gallery-rule {self.kind}; leave it out")

    @property
    def scored(self) -> bool:
        """Whether the rule needs the scores of a row."""
        return self.kind in ("best", "worst")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a rule chose."""

    indices: tuple[int, ...]
    """Of the validation split, in the order of the gallery."""
    words: str
    """The rule, with how many samples it chose from."""


def choose(
    rule: GalleryRule,
    count: int,
    sample_id: Callable[[int], str],
    scores: Sequence[float] | NDArray[np.float64] = (),
    scored_by: str = "",
) -> Chosen:
    """The samples of a split of ``count`` that ``rule`` chooses.

    ``random`` orders the samples by a hash of seed and sample id, so that the first ones of a larger gallery are those
    of a smaller one, with any version of any library. ``best`` and ``worst`` need ``scores``, one for each sample
    (NaN: without one, never chosen), and the words ``scored_by`` for them; ties go to the earlier sample.
    """
    images = min(rule.images, count)
    if rule.kind == "first":
        return Chosen(indices=tuple(range(images)), words=f"the first {images} of {count} validation samples")
    if rule.kind == "random":
        order = sorted(range(count), key=lambda index: _drawn(rule.seed, sample_id(index)))
        words = f"{images} of {count} validation samples drawn at random with seed {rule.seed}"
        return Chosen(indices=tuple(order[:images]), words=words)
    values = np.asarray(scores, float)
    assert len(values) == count, "best and worst need one score for each sample"
    known = [index for index in range(count) if not np.isnan(values[index])]
    sign = -1.0 if rule.kind == "best" else 1.0
    order = sorted(known, key=lambda index: (sign * values[index], index))[:images]
    which = "highest" if rule.kind == "best" else "lowest"
    words = f"the {len(order)} of {count} validation samples with the {which} {scored_by}, the {which} first"
    return Chosen(indices=tuple(order), words=words)


def _drawn(seed: int, sample_id: str) -> str:
    return hashlib.sha256(f"{seed}\n{sample_id}".encode()).hexdigest()


def image_scores(store: Store, evaluation: Evaluation) -> NDArray[np.float64]:
    """(images,) mIoU in percent within each judged image, over the classes that occur in its label map.

    NaN for an image without a labelled pixel. Raises ValueError where the evaluation kept no counts by image.
    """
    path = store.confusion_file(evaluation.eval_id)
    if not path.is_file():
        raise ValueError(
            f"{path} is not there, so the images of {evaluation.spec.subject} have no scores of their own; judge it "
            f"again (evaluate --again), or use --gallery-rule first or random"
        )
    with np.load(path) as kept:
        counts, class_of, classes = kept["per_image"], kept["class_of"], len(kept["classes"])
        images = len(kept["sample_ids"])
    image, predicted, pixels = counts[:, 0], counts[:, 2], counts[:, 3]
    true = class_of[counts[:, 1]]
    labelled = true >= 0
    image, true, predicted, pixels = image[labelled], true[labelled], predicted[labelled], pixels[labelled]
    truth, union, hits = (np.zeros((images, classes)) for _ in range(3))
    right = true == predicted
    np.add.at(truth, (image, true), pixels)
    np.add.at(hits, (image[right], true[right]), pixels[right])
    np.add.at(union, (image, predicted), pixels)
    union += truth - hits
    present = truth > 0
    iou = np.divide(hits, union, out=np.zeros_like(hits), where=union > 0)
    occurring = present.sum(axis=1)
    means = np.where(present, iou, 0.0).sum(axis=1) / np.maximum(occurring, 1)
    return np.where(occurring > 0, 100.0 * means, np.nan)
