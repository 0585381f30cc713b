"""Raters of known preference click through a study in a real browser; what they save is scored and gives it back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.human.answers import read_answers
from bench.human.design import SENTINEL, HumanStudy, Place
from bench.human.table import score
from tests.browser.chromium import Browser
from tests.human.small import pixels, small_study

KEYS = {"left": "\ue012", "right": "\ue014"}
"""WebDriver's codes of the two arrow keys."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("human")


@pytest.fixture(scope="module")
def study(folder: Path) -> HumanStudy:
    return small_study(folder, against=("CRN",), questions=8, per_rater=8, raters=2, sentinels=2)


def opened(browser: Browser, folder: Path, query: str = "", **size: int) -> None:
    address = (folder / "study" / "page" / "index.html").absolute().as_uri()
    browser.open(f"{address}{query}", **size)
    browser.until(lambda: browser.run("return !document.getElementById('start').hidden"), "the start")


def begin(browser: Browser, rater: str) -> None:
    field = browser.driver.find_element("id", "rater")
    field.clear()
    field.send_keys(rater)
    browser.driver.find_element("css selector", "#begin .primary").click()


def shown_side(browser: Browser, side: str) -> str:
    return str(browser.run(f"return document.querySelector('#{side} img').src")).rpartition("/")[2]


def wait_for(browser: Browser, number: int, of: int) -> None:
    ready = (
        "return document.getElementById('count').textContent === arguments[0]"
        " && !document.getElementById('left').disabled"
    )
    browser.until(lambda: browser.run(ready, f"{number} of {of}"), f"question {number}")


def prefers_ours(study: HumanStudy, question: str) -> bool:
    """Every sentinel right, ours in three of four questions."""
    own = sorted(item.id for item in study.questions if item.comparison != SENTINEL)
    return question not in own or own.index(question) % 4 != 0


def press(browser: Browser, side: str) -> None:
    browser.driver.find_element("tag name", "body").send_keys(KEYS[side])


def answer_from(browser: Browser, study: HumanStudy, place: Place, first: int, until: int, *, click: bool) -> None:
    for number in range(first, until + 1):
        wait_for(browser, number, len(place.shown))
        item = place.shown[number - 1]
        side = "left" if prefers_ours(study, item.question) == item.ours_left else "right"
        if click:
            browser.driver.find_element("id", side).click()
        else:
            press(browser, side)


def saved(browser: Browser, button: str, rater: str) -> Path:
    """The file of ``rater`` that a click on ``button`` saves."""
    folder = browser.downloads
    browser.driver.find_element("id", button).click()

    def new() -> list[Path]:
        return [path for path in folder.glob(f"answers-*-{rater}.csv") if path.stat().st_size]

    return Path(browser.until(new, "the saved file")[0])


def test_raters_click_through_and_the_score_recovers_what_they_prefer(
    browser: Browser, folder: Path, study: HumanStudy, tmp_path: Path
) -> None:
    files: list[Path] = []
    for place, click in zip(study.places, (True, False), strict=True):
        opened(browser, folder, f"?place={place.name}")
        begin(browser, f"Ann, {place.name}")
        answer_from(browser, study, place, 1, len(place.shown), click=click)
        browser.until(lambda: browser.run("return !document.getElementById('end').hidden"), "the end")
        files.append(saved(browser, "save", f"Ann_{place.name}"))
        assert files[-1].read_text() == browser.run("return document.getElementById('csv').value")
        assert browser.console() == []
        assert browser.foreign_requests() == []
    read = read_answers(files, [study])
    assert len(read.answers) == sum(len(place.shown) for place in study.places)
    assert {item.rater for item in read.answers} == {f"Ann, {place.name}" for place in study.places}
    assert all(item.seconds is not None and item.seconds >= 0 for item in read.answers)
    scored = score([study], read.answers, draws=200)
    assert not any(rater.dropped for rater in scored.raters)
    (found,) = (item.preference for item in scored.compared)
    assert found is not None
    assert (found.ours, found.votes) == (12, 16)
    assert found.clustered is not None
    for low, high in (found.exact, found.clustered):
        assert low <= 0.75 <= high


def test_pictures_stand_on_the_side_that_the_key_says(browser: Browser, folder: Path, study: HumanStudy) -> None:
    place = study.places[0]
    opened(browser, folder, f"?place={place.name}&rater=sides")
    begin(browser, "sides")
    for number, item in enumerate(place.shown[:4], start=1):
        wait_for(browser, number, len(place.shown))
        asked = study.by_id[item.question]
        ours = "left" if item.ours_left else "right"
        shown = pixels(folder / "study" / "page" / "images" / shown_side(browser, ours))
        if asked.comparison != SENTINEL:
            assert np.array_equal(shown, pixels(folder / "systems" / "SPADE" / f"{asked.sample}.png"))
        legend = browser.run("return [...document.querySelectorAll('#legend li')].map((one) => one.textContent)")
        assert legend
        press(browser, "left")


def test_who_stops_goes_on_where_they_were_and_may_correct_the_last_answer(
    browser: Browser, folder: Path, study: HumanStudy
) -> None:
    place = study.places[0]
    opened(browser, folder, f"?place={place.name}")
    begin(browser, "Bee")
    answer_from(browser, study, place, 1, 3, click=False)
    wait_for(browser, 4, len(place.shown))
    browser.driver.find_element("id", "back").click()
    wait_for(browser, 3, len(place.shown))
    first = browser.run("return document.querySelector('#pair .taken').id")
    other = "right" if first == "left" else "left"
    press(browser, other)
    wait_for(browser, 4, len(place.shown))
    part = saved(browser, "save-part", "Bee")
    lines = [line.split(",") for line in part.read_text().splitlines()[1:]]
    assert len(lines) == 3
    assert lines[2][5] == other
    opened(browser, folder)
    resumable = browser.driver.find_elements("css selector", "#resumable button")
    (mine,) = [button for button in resumable if button.text.startswith("Bee,")]
    assert mine.text == f"Bee, list {place.name}: 3 of {len(place.shown)} answered"
    mine.click()
    wait_for(browser, 4, len(place.shown))


def test_a_key_held_down_answers_once(browser: Browser, folder: Path, study: HumanStudy) -> None:
    place = study.places[1]
    opened(browser, folder, f"?place={place.name}")
    begin(browser, "Cee")
    wait_for(browser, 1, len(place.shown))
    for repeat in (False, True, True, True):
        browser.run(
            "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', repeat: arguments[0]}))", repeat
        )
    wait_for(browser, 2, len(place.shown))


def test_a_time_limit_takes_the_pictures_away(browser: Browser, tmp_path: Path) -> None:
    from dataclasses import replace

    from bench.human.making import write_study
    from tests.human.small import wanted

    wish = replace(wanted(tmp_path / "systems", images=3, against=("CRN",), raters=1), time_limit_s=0.2)
    limited = write_study(wish, tmp_path / "study")
    opened(browser, tmp_path)
    begin(browser, "Dee")
    wait_for(browser, 1, len(limited.places[0].shown))
    hidden = "return getComputedStyle(document.querySelector('#left img')).visibility"
    browser.until(lambda: browser.run(hidden) == "hidden", "the pictures to go")
    assert "Time is up" in browser.run("return document.getElementById('told').textContent")
    press(browser, "right")
    wait_for(browser, 2, len(limited.places[0].shown))


def test_a_link_to_no_list_says_so(browser: Browser, folder: Path, study: HumanStudy) -> None:
    opened(browser, folder, "?place=77-1&PROLIFIC_PID=worker9")
    assert "has none of that name" in browser.run("return document.getElementById('start-problem').textContent")
    assert browser.run("return document.getElementById('rater').value") == "worker9"


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_page_fits_a_screen_and_a_phone(
    browser: Browser, folder: Path, study: HumanStudy, width: int, height: int
) -> None:
    place = study.places[0]
    opened(browser, folder, f"?place={place.name}", width=width, height=height)
    begin(browser, f"wide {width}")
    wait_for(browser, 1, len(place.shown))
    boxes = browser.run(
        "return ['left', 'right'].map((id) => {const b = document.getElementById(id).getBoundingClientRect();"
        " return [b.left, b.top, b.right, b.bottom, b.width]})"
    )
    (left, right) = boxes
    assert left[0] >= 0
    assert left[2] <= right[0]
    assert right[2] <= width
    assert left[1] == right[1]
    assert left[4] == right[4]
    assert max(left[3], right[3]) <= height
