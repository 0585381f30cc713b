"""The verbs ``human make`` and ``human score``: the human preference study of the paper's Table 2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import DEFAULT_STORE, DataRootOption, SizeOption, StoreOption, parse_size

if TYPE_CHECKING:
    from bench.run_spec import DatasetRef
    from bench.store import Store

app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
_FORMATS = ("terminal", "md", "csv", "latex", "html")


def register(verbs: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    verbs.add_typer(app, name="human", help="The human preference study of Table 2: make its page, score its answers.")


@app.command("make")
def make(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the study (made where there is none).")],
    ours: Annotated[
        str,
        typer.Option("--ours", metavar="NAME=DIR|RUN", help="Whose preference is measured; call it SPADE for Table 2."),
    ],
    against: Annotated[
        list[str],
        typer.Option("--against", metavar="NAME=DIR|RUN|real", help="A system to compare with (may be repeated)."),
    ],
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="Whose validation maps are shown.", show_default="a run's"),
    ] = None,
    root: DataRootOption = None,
    size: SizeOption = None,
    val_images: Annotated[
        int | None, typer.Option(help="Pictures are there for the first so many validation images.", show_default="all")
    ] = None,
    questions: Annotated[int, typer.Option(help="Questions of each comparison, each with another map.")] = 500,
    raters: Annotated[int, typer.Option(help="Raters that answer each question.")] = 5,
    per_rater: Annotated[int, typer.Option(help="Questions that one rater answers in one sitting, at most.")] = 100,
    sentinels: Annotated[int, typer.Option(help="Further pairs with an obvious answer for each rater.")] = 5,
    seed: Annotated[int, typer.Option(help="Decides maps, pairs, sides and orders.")] = 0,
    time_limit: Annotated[
        float | None,
        typer.Option("--time-limit", metavar="S", help="Show each pair for S seconds.", show_default="unlimited"),
    ] = None,
    ask: Annotated[str | None, typer.Option(help="The question.", show_default="which looks more real")] = None,
    base_url: Annotated[
        str, typer.Option("--base-url", metavar="URL", help="Where page/ will be uploaded, for the links in the lists.")
    ] = "",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Make a study: label maps, two pictures each, which looks more real?

    \b
    human make --dataset cityscapes --root DIR --ours SPADE=RUN --against CRN=DIR --against pix2pixHD=RUN --out DIR
    human make --ours SPADE=RUN --against pix2pixHD=RUN --questions 100 --raters 3 --out DIR

    Pictures come from folders (named as for `evaluate --images`) or from judged runs of the store. The study is a
    page without a server: open page/index.html from disk or upload the folder page/. Left and right, order and maps
    are balanced and follow from the seed. Defaults are the paper's: 500 questions, 5 raters each, no time limit.
    """
    from rich.console import Console

    from bench.data.opening import images_of, open_split
    from bench.data.registry import dataset_spec
    from bench.human.design import Plan
    from bench.human.making import ASK, Wanted, write_study
    from bench.human.sources import named, open_source
    from bench.launching.progress import ProgressLine
    from bench.store import Store

    plan = Plan(questions=questions, raters=raters, per_rater=per_rater, sentinels=sentinels, seed=seed)
    opened = Store(store)
    first, others = named(ours, "--ours"), [named(text, "--against") for text in against]
    ref = _reference([first, *others], opened, dataset, root, size, val_images)
    split = open_split(ref, "val")
    count = images_of(ref, split)
    wanted = Wanted(
        dataset=split,
        title=dataset_spec(ref.name).title,
        count=count,
        ours=open_source(*first, split, count, opened),
        against=tuple(open_source(*item, split, count, opened) for item in others),
        plan=plan,
        ask=ask or ASK,
        time_limit_s=time_limit,
    )
    with ProgressLine(Console(), "human make") as line:
        study = write_study(wanted, out, base_url=base_url, progress=line.update)
    print(
        f"study {study.id}: {len(study.against)} comparison{'s'[: len(study.against) != 1]} of {questions} questions, "
        f"{raters} raters each: {len(study.places)} lists of {min(map(len, (p.shown for p in study.places)))} to "
        f"{max(map(len, (p.shown for p in study.places)))} questions, {sentinels} of them sentinels"
    )
    for name, told in study.sources.items():
        print(f"  {name}: {told}")
    print(f"page:  {out / 'page' / 'index.html'}  (open it, or upload {out / 'page'}; each rater takes one list)")
    print(f"lists: {out / 'places.csv'}  (links), {out / 'crowd.csv'}  (for platforms that show single questions)")
    print(f"key:   {out / 'study.json'}  (keep it, and keep it to yourself: it tells which picture is whose)")
    print(f"then:  ./run_study.py human score ANSWERS.csv ... --study {out}")


def _reference(
    systems: list[tuple[str, str]],
    opened: Store,
    dataset: str | None,
    root: Path | None,
    size: str | None,
    val_images: int | None,
) -> DatasetRef:
    """The validation maps that are shown: as asked for, or those of the first run among the systems."""
    from bench.data.opening import validation_ref
    from bench.human.sources import run_meant

    if dataset is not None:
        return validation_ref(dataset, size=parse_size(size), val_images=val_images, root=root)
    runs = [run for _, place in systems if (run := run_meant(place, opened)) is not None]
    if not runs:
        raise ValueError("--dataset is needed: no run among the systems tells which validation maps are meant")
    data = runs[0].spec().dataset
    return validation_ref(
        data.name,
        size=parse_size(size) or data.size,
        val_images=val_images if val_images is not None else data.val_images,
        root=root or data.root,
    )


@app.command("score")
def score(
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS.csv...", help="Files that the page saved.")],
    study: Annotated[
        list[Path], typer.Option("--study", metavar="DIR", help="Folder of `human make` (may be repeated).")
    ],
    min_sentinels: Annotated[float, typer.Option(help="Least share of sentinels a counted rater got right.")] = 0.8,
    min_answered: Annotated[float, typer.Option(help="Least share of the list a counted rater answered.")] = 0.5,
    min_agreement: Annotated[float, typer.Option(help="Least agreement with the majority of the others.")] = 0.0,
    draws: Annotated[int, typer.Option(help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    form: Annotated[str, typer.Option("--format", metavar="terminal|md|csv|latex|html", help="What to print.")] = (
        "terminal"
    ),
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Also write table.md, table.tex, preferences.csv and raters.csv."),
    ] = None,
) -> None:
    """Score answers: how often ours is preferred, in Table 2's layout beside the paper's percentages.

    \b
    human score answers/*.csv --study DIR
    human score answers/*.csv --study COCO_DIR --study CITYSCAPES_DIR --format latex

    Answers are those that the page saved, or Mechanical Turk's results of a batch made of crowd.csv. Raters who fail
    the sentinels, or stopped early, are left out and named. Intervals: a bootstrap over raters and questions, and
    the exact binomial one.
    """
    from bench.human.answers import read_answers
    from bench.human.making import read_study
    from bench.human.raters import Filters
    from bench.human.table import preference_tables, preferences_csv
    from bench.human.table import score as score_answers
    from bench.human.writing import write_scored
    from bench.reporting.render import render

    if form not in _FORMATS:
        raise ValueError(f"--format is {form!r}; allowed are {', '.join(_FORMATS)}")
    if draws < 100:
        raise ValueError(f"--draws is {draws}; an interval needs at least 100")
    filters = Filters(sentinels=min_sentinels, answered=min_answered, agreement=min_agreement)
    studies = list({found.id: found for found in map(read_study, study)}.values())
    read = read_answers(answers, studies)
    scored = score_answers(studies, read.answers, filters=filters, draws=draws, seed=seed, notes=read.notes)
    if form == "csv":
        print(preferences_csv(scored), end="")
    else:
        print(render("Human preference", preference_tables(scored), form), end="")  # type: ignore[arg-type]
    if out is not None:
        write_scored(scored, out)
