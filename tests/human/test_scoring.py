"""From answers to the table: what is read, who is counted, what is printed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from bench.human.answers import CROWD_FIELDS, PAGE_FIELDS, Answer, AnswersError, read_answers
from bench.human.design import SENTINEL, HumanStudy, Plan, draw_places, draw_questions
from bench.human.raters import Filters, look_at_raters
from bench.human.table import preference_tables, preferences_csv, raters_csv, score
from bench.human.writing import write_scored
from bench.reporting.render import render

from .small import all_answers, answer


def study_of(
    title: str = "Cityscapes", *, ours: str = "SPADE", against: tuple[str, ...] = ("CRN",), **plan: int
) -> HumanStudy:
    """Without pictures: enough to score."""
    chosen = Plan(**{"questions": 40, "raters": 4, "per_rater": 40, "sentinels": 5, **plan})
    sheets, sentinels = draw_questions(
        chosen, against, [f"{title}-{number}" for number in range(chosen.questions + 20)]
    )
    return HumanStudy(
        dataset="synthetic",
        title=title,
        maps="0123",
        size_px=(32, 32),
        ours=ours,
        against=against,
        sources=dict.fromkeys((ours, *against), "made"),
        ask="which?",
        time_limit_s=None,
        plan=chosen,
        questions=tuple(question for sheet in (*sheets, *sentinels) for question in sheet),
        places=tuple(draw_places(chosen, sheets, sentinels)),
    )


STUDY = study_of()


def written(path: Path, answers: Iterable[Answer], fields: tuple[str, ...] = PAGE_FIELDS) -> Path:
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(fields)
    for item in answers:
        choice = "left" if item.left else "right"
        lines.writerow([item.study, item.place, item.rater, item.question, 1, choice, item.seconds, item.answered_at])
    path.write_text(stream.getvalue())
    return path


def likes_ours(rater: str, question: str, comparison: str) -> bool:
    """Every sentinel right; ours in three of four questions."""
    return comparison == SENTINEL or int(question[1:]) % 4 != 0


# What is read


def test_answers_survive_the_way_through_a_file(tmp_path: Path) -> None:
    answers = all_answers(STUDY, likes_ours)
    answers[0] = answer(STUDY, answers[0].place, answers[0].question, ours=True, rater='Ann "A", Bee')
    read = read_answers([written(tmp_path / "made.csv", answers)], [STUDY])
    assert sorted(read.answers, key=repr) == sorted(answers, key=repr)
    assert read.notes == ()


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    place, shown = STUDY.places[0].name, STUDY.places[0].shown
    good = f"{STUDY.id},{place},ann,{shown[0].question},1,left,1.5,"
    lines = [
        ",".join(PAGE_FIELDS),
        good,
        good.replace(STUDY.id, "0123"),
        good.replace("left", "middle"),
        good.replace(shown[0].question, "q9999"),
        good.replace(f",{place},", ",77-1,"),
        good.replace("ann", " "),
        good.replace("1.5", "fast"),
        f"{good},more",
    ]
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join(lines))
    other = tmp_path / "notes.csv"
    other.write_text("name,colour\nann,red\n")
    with pytest.raises(AnswersError, match="9 problems with the answers; nothing was scored") as caught:
        read_answers([bad, other, tmp_path / "absent.csv"], [STUDY])
    told = str(caught.value)
    for number, words in (
        (3, "study '0123' is none of those given with --study"),
        (4, "choice is 'middle'; allowed are left and right"),
        (5, "has no question 'q9999'"),
        (6, "place '77-1' of study"),
        (7, "rater is empty"),
        (8, "seconds is 'fast'"),
        (9, "8 columns are expected"),
    ):
        assert next(line for line in told.splitlines() if f"bad.csv, line {number}: " in line).count(words) == 1
    assert "notes.csv: not a file of answers" in told
    assert "absent.csv: cannot be read" in told


def test_a_spreadsheets_semicolons_are_named(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_text(";".join(PAGE_FIELDS) + "\n")
    with pytest.raises(AnswersError, match="separated by something else than commas"):
        read_answers([path], [STUDY])


def test_a_platforms_results_are_read_and_rejected_ones_left_out(tmp_path: Path) -> None:
    place, shown = STUDY.places[0].name, STUDY.places[0].shown
    header = ["HITId", "AssignmentStatus", *CROWD_FIELDS.values()]
    lines = [
        ["h", status, STUDY.id, place, "W1", item.question, "left", "7", "Sat Nov 28 2026"]
        for status, item in (("Approved", shown[0]), ("Submitted", shown[1]), ("Rejected", shown[2]))
    ]
    path = tmp_path / "batch.csv"
    path.write_text("\n".join(",".join(line) for line in [header, *lines]))
    read = read_answers([path], [STUDY])
    assert [item.question for item in read.answers] == [shown[0].question, shown[1].question]
    assert read.answers[0].seconds == 7.0
    assert "1 rejected" in read.notes[0]
    path.write_text("Input.study,Answer.choice\n")
    with pytest.raises(AnswersError, match="it lacks Input.place, WorkerId"):
        read_answers([path], [STUDY])


def test_doubled_answers_count_once_and_the_first_counts(tmp_path: Path) -> None:
    place, question = STUDY.places[0].name, STUDY.places[0].shown[0].question
    first = answer(STUDY, place, question, ours=True, answered_at="2026-11-28T09:00:00Z")
    second = answer(STUDY, place, question, ours=False, answered_at="2026-11-28T10:00:00Z")
    files = [written(tmp_path / "b.csv", [second, first]), written(tmp_path / "a.csv", [first])]
    read = read_answers(files, [STUDY])
    assert [item.left for item in read.answers] == [first.left]
    assert read.notes == (
        "1 answers occur in several files and count once.",
        "1 answers were given again by the same rater to the same question; the first counts.",
    )


# Who is counted


def test_raters_are_told_apart() -> None:
    answers = []
    for number, place in enumerate(STUDY.places):
        for position, shown in enumerate(place.shown):
            sentinel = STUDY.by_id[shown.question].comparison == SENTINEL
            if number == 1:  # always the left key
                answers.append(answer(STUDY, place.name, shown.question, ours=shown.ours_left))
            elif number == 2 and position >= 15:  # stops early
                continue
            else:
                answers.append(answer(STUDY, place.name, shown.question, ours=sentinel or position % 2 == 0))
    raters = {item.name: item for item in look_at_raters(STUDY, answers, Filters())}
    names = [f"rater {place.name}" for place in STUDY.places]
    assert raters[names[0]].dropped == raters[names[3]].dropped == ""
    assert raters[names[1]].left == 1.0
    assert raters[names[1]].dropped.endswith("of 5 sentinels right")
    assert raters[names[2]].dropped.endswith("of 40 questions answered")
    unfiltered = look_at_raters(STUDY, answers, Filters(sentinels=0, answered=0))
    assert all(item.dropped == "" for item in unfiltered)


def test_agreement_is_with_the_majority_of_the_others() -> None:
    names = [place.name for place in STUDY.places]
    answers = all_answers(
        STUDY, lambda rater, question, comparison: comparison == SENTINEL or rater != f"rater {names[0]}"
    )
    raters = {item.name: item for item in look_at_raters(STUDY, answers, Filters(agreement=0.3))}
    assert raters[f"rater {names[0]}"].agreement == 0.0
    assert raters[f"rater {names[0]}"].dropped == "agrees with the others in 0 %"
    assert raters[f"rater {names[1]}"].agreement == 1.0


def test_filters_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match="--min-sentinels is 2; it must be from 0"):
        Filters(sentinels=2)


# What is printed


def test_a_known_preference_is_recovered_at_the_papers_size() -> None:
    """Raters and questions differ; 3 of 75 raters press one key. The truth is the mean over what was simulated."""
    study = study_of(against=("CRN", "pix2pixHD"), questions=500, raters=5, per_rater=100)
    rng = np.random.default_rng(3)
    centres = {"CRN": 0.6, "pix2pixHD": 0.15}
    easy = {question.id: rng.normal(0, 0.8) for question in study.questions}
    habit = {f"rater {place.name}": rng.normal(0, 0.3) for place in study.places}
    lazy = set(list(habit)[:3])

    def prefers(rater: str, question: str, comparison: str) -> bool:
        if comparison == SENTINEL:
            return True
        return bool(rng.random() < 1 / (1 + np.exp(-centres[comparison] - easy[question] - habit[rater])))

    careful = [item for item in all_answers(study, prefers) if item.rater not in lazy]
    pressed = [
        answer(study, place.name, shown.question, ours=shown.ours_left)
        for place in study.places
        for shown in place.shown
        if f"rater {place.name}" in lazy
    ]
    scored = score([study], careful + pressed, draws=400)
    assert {item.name for item in scored.raters if item.dropped} == lazy
    for item in scored.compared:
        spread = np.hypot(0.8, 0.3) * np.random.default_rng(0).normal(size=200_000)
        aim = float(np.mean(1 / (1 + np.exp(-centres[item.against] - spread))))
        assert item.preference is not None
        assert item.preference.clustered is not None
        low, high = item.preference.clustered
        assert low <= aim <= high
        assert high - low < 0.12


def test_the_table_stands_beside_the_papers() -> None:
    studies = [study_of(), study_of("COCO-Stuff", against=("pix2pixHD", "CRN", "my-system"))]
    answers = [item for study in studies for item in all_answers(study, likes_ours)]
    scored = score(studies, answers, draws=200)
    (table,) = preference_tables(scored)
    assert [row.label for row in table.rows] == ["COCO-Stuff", "Cityscapes"]
    assert [column.key for column in table.columns][:3] == ["vs:CRN", "vs:pix2pixHD", "vs:my-system"]
    assert table.cell("Cityscapes", "paper:CRN").value == 63.60
    assert table.cell("COCO-Stuff", "paper:pix2pixHD").value == 86.64
    cell = table.cell("Cityscapes", "vs:CRN")
    own = next(item for item in scored.compared if item.study.title == "Cityscapes")
    assert own.preference is not None
    assert cell.value == pytest.approx(100 * own.preference.share)
    assert table.cell("Cityscapes", "delta:CRN").value == pytest.approx(100 * own.preference.share - 63.60)
    assert table.cell("Cityscapes", "vs:pix2pixHD").state == "blank"
    for form in ("terminal", "md", "latex", "html"):
        text = render("Human preference", [table], form)  # type: ignore[arg-type]
        assert "63.60" in text
        assert "exact binomial" in text


def test_what_the_paper_does_not_have_stays_blank() -> None:
    sims = score([study_of("ADE20K", against=("SIMS",))], [])
    (table,) = preference_tables(sims)
    assert table.cell("ADE20K", "paper:SIMS").state == "blank"
    assert table.cell("ADE20K", "vs:SIMS").state == "pending"
    other = score([study_of(ours="my-system")], [])
    assert not any(column.kind == "paper" for column in preference_tables(other)[0].columns)


def test_files_of_a_score(tmp_path: Path) -> None:
    scored = score([STUDY], all_answers(STUDY, likes_ours), draws=200)
    files = {path.name: path.read_text() for path in write_scored(scored, tmp_path)}
    assert set(files) == {"table.md", "table.tex", "preferences.csv", "raters.csv"}
    (line,) = csv.DictReader(io.StringIO(preferences_csv(scored)))
    assert int(line["votes"]) == 160
    assert float(line["percent"]) == pytest.approx(100 * int(line["votes_for_ours"]) / 160)
    assert float(line["exact_low"]) < float(line["percent"]) < float(line["exact_high"])
    assert line["published"] == "63.6"
    assert [row["counted"] for row in csv.DictReader(io.StringIO(raters_csv(scored)))] == ["yes"] * 4
