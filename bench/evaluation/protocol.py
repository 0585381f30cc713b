"""What an evaluation protocol is: a frozen, versioned answer to every question about how a number was made.

Free of torch and numpy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from bench.evaluation.judge_test import JudgeTest
from bench.evaluation.label_mappings import MAPPING_NAMES, OWN, LabelMapping
from bench.evaluation.metric_table import METRICS, weights_of
from bench.evaluation.weights import list_weights

ANY = "any"
"""The data set of a protocol that looks at no label."""
GUESS = "our guess"
"""How the source of a field begins where nobody but us says so."""
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_OWN_TEST = ("synthetic-judge", "mmseg")


class ExplainedField(NamedTuple):
    """One field of a protocol with where its value comes from."""

    field: str
    value: object
    source: str
    guess: bool
    """Whether the value is our guess."""


@dataclass(frozen=True, kw_only=True)
class MmsegJudge:
    """A network of mmsegmentation that judges: a config and a checkpoint."""

    config_name: str
    """The config's file name without its ending."""
    config_file: str = field(default="", metadata={"semantic": False})
    """Path of a user's config; empty for a config of the installed mmsegmentation."""
    config_sha256: str = ""
    """Of a config that a protocol file names, with all that it builds on; empty for the built-in protocols."""
    checkpoint: str = field(default="", metadata={"semantic": False})
    """Path of a user's checkpoint; empty where ``judge_weights`` names it."""
    checkpoint_sha256: str = ""
    """Of a user's checkpoint; ``missing`` where the file is not there."""

    @property
    def config(self) -> str:
        """What to build the network from: the path of a file, or a name in the installed mmsegmentation."""
        return self.config_file or self.config_name


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How images become numbers. Any change of meaning is a new version.

    Raises ValueError listing every field that does not fit.
    """

    name: str
    version: int
    dataset: str
    """The data set whose validation split is judged; ``any`` where no label is looked at."""
    summary: str = field(metadata={"semantic": False})
    judge: str = ""
    """The segmentation network that labels the images; empty for none."""
    judge_weights: tuple[str, ...] = ()
    """Its files in the table of weights (``list weights``)."""
    test: JudgeTest | None = None
    """How the judge is shown an image; None where the judge has its own way (synthetic judge, mmsegmentation)."""
    mmseg: MmsegJudge | None = None
    """Config and checkpoint of a judge of mmsegmentation."""
    label_mapping: str = ""
    """From the data set's label ids to the judge's classes, by name (``label_mappings``)."""
    own_labels: LabelMapping | None = None
    """The mapping itself, where ``label_mapping`` is ``own``."""
    image_resize: Literal["none", "bilinear", "bicubic"] = "none"
    """How the generated image comes to the label map's size (PIL); ``none``: it is fed as generated."""
    label_size: Literal["generated", "native"] = "generated"
    """``generated``: label maps by nearest (PIL) at the generated size, as for training; ``native``: the files' own."""
    conditioning: Literal["label-only", "style-from-target", "sampled"] = "label-only"
    """What the generator was given beside the label map."""
    ignored: str = ""
    """Which ground-truth pixels count as unlabelled."""
    class_mean: Literal["present", "all", "union"] = "present"
    """Classes that mIoU averages over: with ground truth; all; with ground truth or predictions."""
    paper_accuracy: Literal["accu@all", "accu@labelled", ""] = ""
    """The accuracy that the paper's is compared with; empty for none."""
    image_format: Literal["png"] = "png"
    """In which generated images are written before they are judged."""
    pixel_rounding: Literal["truncate"] = "truncate"
    """How values become 0 to 255."""
    reference: Literal["val"] = "val"
    """Real images that distances compare with: the validation images of the same label maps."""
    reference_resize: Literal["as-generated"] = "as-generated"
    """Their size: the generated images', by PIL bicubic as in training."""
    subject: Literal["any", "real"] = "any"
    """``real``: the photographs at their own size are judged: does this judge give its published scores?"""
    expected: Mapping[str, float] = field(default_factory=dict, metadata={"semantic": False})
    """Published scores of the judge on real images, by metric, in its unit."""
    metrics: tuple[str, ...]
    """Metric names, in the order of the table."""
    sources: Mapping[str, str] = field(metadata={"semantic": False})
    """Where each field's value comes from; a guess of ours begins with ``our guess``."""

    def __post_init__(self) -> None:
        problems = [*self._wrong_values(), *self._wrong_together(), *self._wrong_sources()]
        if problems:
            raise ValueError(f"protocol {self.name!r} cannot be: " + "; ".join(problems))

    @property
    def key(self) -> str:
        """``name@version``, as every table prints it."""
        return f"{self.name}@{self.version}"

    @property
    def weights_files(self) -> tuple[str, ...]:
        """Names in the table of weights of all files that its judge and its metrics need; sorted."""
        return tuple(sorted({*self.judge_weights, *weights_of(self.metrics)}))

    @property
    def guesses(self) -> tuple[str, ...]:
        """Fields whose value is our guess."""
        return tuple(row.field for row in self.explained() if row.guess)

    def judges(self, dataset: str) -> bool:
        """Whether it can judge images of the data set of that name."""
        return self.dataset in (ANY, dataset)

    def explained(self) -> list[ExplainedField]:
        """Every field with its value and source; those of the test procedure as ``test.NAME``.

        Unset fields are left out, and those that say nothing here: how a judge is shown an image where there is no
        judge, what distances compare with where there are none.
        """
        rows: list[tuple[str, object]] = []
        for name, value in self._set_fields():
            if isinstance(value, (JudgeTest, MmsegJudge)):
                rows += [(f"{name}.{part.name}", getattr(value, part.name)) for part in fields(value)]
            else:
                rows.append((name, value))
        rows = [(name, value) for name, value in rows if value != ""]
        sources = [self.sources.get(name, self.sources.get(name.partition(".")[0], "")) for name, _ in rows]
        return [
            ExplainedField(name, value, source, source.startswith(GUESS))
            for (name, value), source in zip(rows, sources, strict=True)
        ]

    def _set_fields(self) -> list[tuple[str, Any]]:
        hidden = {"name", "version", "summary", "sources", "expected"}
        if not self.judge:
            hidden |= {"image_resize", "label_size", "class_mean"}
        if all(METRICS[name].kind == "segmentation" for name in self.metrics if name in METRICS):
            hidden |= {"reference", "reference_resize"}
        if self.subject == "real":
            hidden |= {"conditioning", "image_format", "pixel_rounding"}
        shown = [(item.name, getattr(self, item.name)) for item in fields(self) if item.name not in hidden]
        return [(name, value) for name, value in shown if value is not None and value != ()]

    def _wrong_values(self) -> list[str]:
        hints = get_type_hints(Protocol)
        problems = [
            f"{item.name}={value!r}, allowed are: {', '.join(map(repr, allowed))}"
            for item in fields(self)
            if get_origin(hints[item.name]) is Literal
            and (value := getattr(self, item.name)) not in (allowed := get_args(hints[item.name]))
        ]
        if not _NAME.fullmatch(self.name):
            problems.append(f"name={self.name!r}, expected a letter a to z, then letters, digits, '-' and '_'")
        if self.version < 1:
            problems.append(f"version={self.version}, expected 1 or more")
        if not self.summary:
            problems.append("summary is empty")
        known = [item.name for item in list_weights()]
        for name in self.judge_weights:
            if name not in known:
                problems.append(f"judge_weights: no weights file is called {name!r}; known are: {', '.join(known)}")
        if not self.metrics or len(set(self.metrics)) != len(self.metrics):
            problems.append(f"metrics={self.metrics!r}, expected at least one, none twice")
        for place, given in (("metrics", self.metrics), ("expected", tuple(self.expected))):
            unknown = [name for name in given if name not in METRICS]
            if unknown:
                problems.append(f"{place}: no metric is called {', '.join(unknown)}; known are: {', '.join(METRICS)}")
        return problems

    def _wrong_together(self) -> list[str]:
        problems = []
        counted = [name for name in self.metrics if name in METRICS and METRICS[name].kind == "segmentation"]
        if bool(counted) != bool(self.judge):
            problems.append(
                f"judge={self.judge!r} with metrics {self.metrics}; mIoU and accuracies need one, and only they"
            )
        if self.judge and self.label_mapping not in MAPPING_NAMES:
            problems.append(f"label_mapping={self.label_mapping!r}, known are: {', '.join(MAPPING_NAMES)}")
        if (self.own_labels is not None) != (self.label_mapping == OWN):
            problems.append(f"label_mapping={self.label_mapping!r}; {OWN!r} and own_labels go together")
        if self.judge and self.dataset == ANY:
            problems.append("dataset='any' with a judge; a judge's classes belong to one data set")
        if self.judge and not self.ignored:
            problems.append("ignored is empty; say which pixels count as unlabelled")
        if (self.test is None) != (self.judge in ("", *_OWN_TEST)):
            problems.append(f"judge={self.judge!r} with test={self.test!r}; every judge needs one but {_OWN_TEST}")
        if (self.mmseg is not None) != (self.judge == "mmseg"):
            problems.append(f"judge={self.judge!r}; 'mmseg' and the field mmseg go together")
        if self.mmseg is not None and bool(self.mmseg.checkpoint) == bool(self.judge_weights):
            problems.append("mmseg: give a checkpoint or judge_weights, one of the two")
        if self.image_resize != "none" and self.label_size != "native":
            problems.append(f"image_resize={self.image_resize!r} with label_size='generated'; nothing would be resized")
        if self.paper_accuracy and self.paper_accuracy not in self.metrics:
            problems.append(f"paper_accuracy={self.paper_accuracy!r} is not among the metrics {self.metrics}")
        if self.subject == "real" and (self.label_size, self.image_resize) != ("native", "none"):
            problems.append("subject='real' needs label_size='native' and image_resize='none'")
        if self.expected and self.subject != "real":
            problems.append("expected scores need subject='real'")
        return problems

    def _wrong_sources(self) -> list[str]:
        missing = [row.field for row in self.explained() if not row.source.strip()]
        problems = [f"no source for {', '.join(missing)}"] if missing else []
        known = {item.name for item in fields(self)} | {f"test.{item.name}" for item in fields(JudgeTest)}
        known |= {f"mmseg.{item.name}" for item in fields(MmsegJudge)}
        unknown = sorted(set(self.sources) - known)
        return problems + ([f"sources for unknown fields {', '.join(unknown)}"] if unknown else [])
