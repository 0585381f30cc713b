"""Answers as CSV, read strictly: of the study's page, or of a platform that shows one question at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.human.design import HumanStudy

PAGE_FIELDS = ("study", "place", "rater", "question", "position", "choice", "seconds", "answered_at")
"""The header of the file that the page saves."""
CROWD_FIELDS = {
    "study": "Input.study",
    "place": "Input.place",
    "rater": "WorkerId",
    "question": "Input.question",
    "choice": "Answer.choice",
    "seconds": "WorkTimeInSeconds",
    "answered_at": "SubmitTime",
}
"""The same in Mechanical Turk's batch results, for a batch made of ``crowd.csv`` whose layout asks for ``choice``."""
_STATUS = "AssignmentStatus"
_SHOWN = 30


class AnswersError(ValueError):
    """Answers that cannot be used as they are; the message lists every problem of every file."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One rater's answer to one question."""

    study: str
    place: str
    rater: str
    question: str
    left: bool
    """Whether the left picture was chosen."""
    seconds: float | None
    answered_at: str
    """ISO 8601, or what the platform wrote."""
    file: str


@dataclass(frozen=True, kw_only=True)
class Answers:
    """All answers of several files, one a rater and question, with what was left out on the way."""

    answers: tuple[Answer, ...]
    notes: tuple[str, ...]


def read_answers(files: Sequence[Path], studies: Iterable[HumanStudy]) -> Answers:
    """Every answer of the files; of several answers of one rater to one question the first one counts.

    Raises AnswersError that lists, by file and line, what is not an answer to one of the studies.
    """
    known = {study.id: study for study in studies}
    problems: list[str] = []
    notes: list[str] = []
    found: list[Answer] = []
    for path in files:
        found += _read_file(path, known, problems, notes)
    if problems:
        listed = "\n  ".join(problems[:_SHOWN])
        more = f"\n  ... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise AnswersError(f"{count} with the answers; nothing was scored\n  {listed}{more}")
    kept, doubled = _without_doubled(found)
    return Answers(answers=tuple(kept), notes=tuple([*notes, *doubled]))


def _read_file(path: Path, studies: Mapping[str, HumanStudy], problems: list[str], notes: list[str]) -> list[Answer]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path}: cannot be read as UTF-8 text ({error})")
        return []
    reader = csv.DictReader(text.splitlines())
    header = tuple(reader.fieldnames or ())
    columns = _columns(header)
    if columns is None:
        problems.append(f"{path}: {_wrong_header(header)}")
        return []
    found = []
    rejected = 0
    for line in reader:
        if None in line or None in line.values():
            problems.append(f"{path}, line {reader.line_num}: {len(header)} columns are expected; the line has others")
        elif line.get(_STATUS, "").lower() == "rejected":
            rejected += 1
        else:
            values = {name: line[column].strip() for name, column in columns.items()}
            problem, answer = _answer(values, studies, path)
            if answer is not None:
                found.append(answer)
            else:
                problems.append(f"{path}, line {reader.line_num}: {problem}")
    if not found and not rejected and not problems:
        notes.append(f"{path} holds no answers.")
    if rejected:
        notes.append(f"{path}: {rejected} rejected assignments were left out.")
    return found


def _columns(header: tuple[str, ...]) -> dict[str, str] | None:
    """Which column holds what, or None where the header is neither the page's nor a platform's."""
    if header == PAGE_FIELDS:
        return {name: name for name in PAGE_FIELDS if name != "position"}
    if all(column in header for column in CROWD_FIELDS.values()):
        return dict(CROWD_FIELDS)
    return None


def _wrong_header(header: tuple[str, ...]) -> str:
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        return "columns are separated by something else than commas (a spreadsheet saved it anew?); use the saved file"
    missing = [name for name in PAGE_FIELDS if name not in header]
    if any(name.startswith(("Input.", "Answer.")) for name in header):
        missing = [name for name in CROWD_FIELDS.values() if name not in header]
        return f"taken for a platform's results, it lacks {', '.join(missing)}"
    told = f"it lacks {', '.join(missing)}" if missing else f"its header is {','.join(header)}"
    return f"not a file of answers: {told}; the header must be {','.join(PAGE_FIELDS)}"


def _answer(values: Mapping[str, str], studies: Mapping[str, HumanStudy], path: Path) -> tuple[str, Answer | None]:
    """(problem, None) or (nothing, answer)."""
    study = studies.get(values["study"])
    if study is None:
        return f"study {values['study']!r} is none of those given with --study ({', '.join(studies)})", None
    if values["question"] not in study.by_id:
        return f"study {study.id} has no question {values['question']!r}", None
    if (values["place"], values["question"]) not in study.ours_left:
        return f"place {values['place']!r} of study {study.id} does not ask question {values['question']!r}", None
    if values["choice"] not in ("left", "right"):
        return f"choice is {values['choice']!r}; allowed are left and right", None
    if not values["rater"]:
        return "rater is empty; without a name, raters cannot be told apart", None
    try:
        seconds = float(values["seconds"]) if values["seconds"] else None
    except ValueError:
        return f"seconds is {values['seconds']!r}; write a number, or leave it empty", None
    return "", Answer(
        study=study.id,
        place=values["place"],
        rater=values["rater"],
        question=values["question"],
        left=values["choice"] == "left",
        seconds=seconds,
        answered_at=values["answered_at"],
        file=path.name,
    )


def _without_doubled(answers: Sequence[Answer]) -> tuple[list[Answer], list[str]]:
    """One answer for each rater and question, and a sentence on what was left out.

    Time decides where it is told in ISO 8601; else the order of the files.
    """
    kept: dict[tuple[str, str, str], Answer] = {}
    same = others = 0
    for answer in sorted(answers, key=lambda item: item.answered_at if item.answered_at[:2] == "20" else ""):
        key = (answer.study, answer.rater, answer.question)
        before = kept.setdefault(key, answer)
        if before is not answer:
            again = (before.place, before.left, before.answered_at) == (answer.place, answer.left, answer.answered_at)
            same += again
            others += not again
    notes = []
    if same:
        notes.append(f"{same} answers occur in several files and count once.")
    if others:
        notes.append(f"{others} answers were given again by the same rater to the same question; the first counts.")
    return list(kept.values()), notes
