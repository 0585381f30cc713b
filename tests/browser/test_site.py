"""A site in a real browser, opened from disk: sorting, filters, notes, pictures, and nothing asked of the network."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from bench.reporting.leaderboard.write import write_leaderboard
from bench.reporting.site.build import write_site
from bench.store import Store
from tests.browser.chromium import Browser
from tests.reporting.conftest import MISSING, FakeStore, make_study
from tests.reporting.test_site import HOSTILE, hostile, with_pictures

ROWS = (
    "return Array.from(document.querySelectorAll('#table-1-table tbody tr:not([hidden])'), r => r.cells[0].innerText)"
)

LOADED = "return Array.from(document.images).every(one => one.complete && one.naturalWidth || one.hidden)"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of a partial study whose first row carries a script, beside a leaderboard of the same store."""
    folder = tmp_path_factory.mktemp("site")
    fake = FakeStore(make_study(), Store(folder / "store"))
    fake.judge(None, mIoU=89.0, accu_all=95.0, accu_labelled=95.0, FD=0.0, lite0=0.0, FID=MISSING)
    for label, miou, distance in (
        ("decoder w/ Concat", 9.5, 4.0),
        ("pix2pixHD++", 43.25, 30.5),
        ("pix2pixHD", 20.0, 5.0),
    ):
        fake.done(
            label, parameters=int(1e5 * miou), mIoU=miou, accu_all=70.0, accu_labelled=71.0, FD=distance, FID=MISSING
        )
    fake = with_pictures(hostile(fake))
    fake.train("100% odd_row & co", state="running", step=183, steps=300)
    write_site([fake.study], fake.store, folder / "site", samples=3)
    write_leaderboard([fake.store], folder / "site-board")
    return folder


@pytest.fixture
def page(browser: Browser, pages: Path) -> Browser:
    browser.open(pages / "site" / "tiny.html")
    browser.until(lambda: browser.run("return !document.querySelector('form.tools').hidden"), "the page's script")
    return browser


def rows(page: Browser) -> list[str]:
    found: list[str] = page.run(ROWS)
    return [" ".join(text.split()) for text in found]


def click_heading(page: Browser, text: str) -> str:
    """Click the first heading that begins so; returns its aria-sort."""
    heading = page.run(
        "return Array.from(document.querySelectorAll('#table-1-table .headings th'))"
        ".find(th => th.innerText.trim().startsWith(arguments[0]))",
        text,
    )
    page.run("arguments[0].querySelector('button').click()", heading)
    told: str = heading.get_attribute("aria-sort")
    return told


def press(page: Browser, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(page.driver).send_keys(key).perform()


def note(page: Browser) -> str:
    """The note that is shown, or nothing."""
    text: str = page.run("var n = document.getElementById('note'); return n.hidden ? '' : n.innerText")
    return text.replace("\xa0", " ")


def test_nothing_is_complained_of_and_nothing_asked_of_the_network(browser: Browser, pages: Path) -> None:
    for name in ("site/index.html", "site/tiny.html", "site-board/leaderboard.html"):
        browser.open(pages / name)
        browser.run("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        browser.until(lambda: browser.run(LOADED), f"the pictures of {name}")
        assert browser.console() == []
        assert browser.foreign_requests() == []


def test_numbers_sort_as_numbers_and_blanks_last(page: Browser) -> None:
    before = rows(page)
    assert click_heading(page, "mIoU") == "descending"
    assert rows(page)[:3] == ["pix2pixHD++", "pix2pixHD", "decoder w/ Concat†"]
    blank = rows(page)[3:5]
    assert click_heading(page, "mIoU") == "ascending"
    assert rows(page)[:3] == ["decoder w/ Concat†", "pix2pixHD", "pix2pixHD++"]
    assert rows(page)[3:5] == blank
    assert rows(page)[-1] == "real images (upper bound)"
    assert click_heading(page, "FD@synthetic") == "ascending"
    assert rows(page)[:3] == ["decoder w/ Concat†", "pix2pixHD", "pix2pixHD++"]
    assert page.run("return document.querySelectorAll('#table-1-table [aria-sort=ascending]').length") == 1
    click_heading(page, "FD@synthetic")
    assert click_heading(page, "FD@synthetic") == "none"
    assert rows(page) == before
    assert click_heading(page, "row") == "ascending"
    assert rows(page)[-2:] == ["pix2pixHD++", "real images (upper bound)"]


def test_filters_by_text_state_and_provenance(page: Browser) -> None:
    form = page.driver.find_element("css selector", "form.tools")
    count = form.find_element("css selector", ".count")
    assert count.text == "6 rows"
    text = form.find_element("name", "text")
    text.send_keys("HD++ pix")
    assert rows(page) == ["pix2pixHD++"]
    assert count.text == "1 of 6 rows"
    form.find_element("css selector", "button[type=reset]").click()
    page.until(lambda: count.text == "6 rows", "the reset")

    def choose(name: str, value: str) -> list[str]:
        menu = form.find_element("name", name)
        page.run(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
            menu,
            value,
        )
        return rows(page)

    assert choose("state", "running") == ["100% odd_row & co"]
    assert choose("state", "failed") == [HOSTILE]
    choose("state", "")
    assert choose("provenance", "real images") == ["real images (upper bound)"]
    assert choose("provenance", "reconstruction") == ["decoder w/ Concat†"]


def test_notes_open_by_pointer_and_by_keyboard_and_close_with_escape(page: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    cells = page.driver.find_elements("css selector", "#table-1-table tbody .cell")
    assert page.run("return document.querySelectorAll('#table-1-table tbody .cell[tabindex=\"0\"]').length") == 1
    page.run("document.querySelector('#table-1-table .headings th:last-child button').focus()")
    press(page, Keys.TAB)
    assert page.run("return document.activeElement.id") == cells[0].get_attribute("id")
    assert "provenance" in note(page)
    press(page, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert note(page).startswith("decoder w/ Concat† · #param")
    press(page, Keys.ARROW_RIGHT)
    text = note(page)
    assert text.startswith("decoder w/ Concat† · mIoU ↑")
    for part in ("9.500 %", "1 of 1", "200", "synthetic@2", "commit abcdef0123", "step 300 (last), raw weights"):
        assert part in text, part
    active = page.driver.switch_to.active_element
    assert active.get_attribute("aria-describedby") == "note"
    beside = "var a = document.activeElement; return a.getBoundingClientRect().left - a.closest('tr').cells[0]"
    assert page.run(beside + ".getBoundingClientRect().right") >= 0, "a cell under the row's name cannot be seen"
    press(page, Keys.ESCAPE)
    assert note(page) == ""
    press(page, Keys.ENTER)
    assert active.get_attribute("aria-expanded") == "true"
    assert "commit" in note(page)
    press(page, Keys.TAB)
    assert "commit" in note(page), "a note that is kept stays"
    press(page, Keys.ESCAPE)
    running = page.driver.find_element("css selector", "td.running .cell")
    page.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", running)
    page.hover(running)
    page.until(lambda: "running 61 %" in note(page), "the note under the pointer")


def test_a_pointer_that_passes_over_a_cell_opens_no_note_and_closes_none(page: Browser) -> None:
    """A note opened in passing would cover the cell that the pointer is on its way to; one of the keyboard stays."""
    told: list[bool] = page.driver.execute_async_script(
        """
        const [passed, aim] = document.querySelectorAll("td.done .cell, td.running .cell"), done = arguments[0];
        const note = document.getElementById("note"), point = (cell, what) => cell.dispatchEvent(new MouseEvent(what));
        point(passed, "mouseenter");
        const atOnce = !note.hidden;
        point(passed, "mouseleave");
        setTimeout(() => {
          const later = !note.hidden;
          point(aim, "mouseenter");
          setTimeout(() => done([atOnce, later, !note.hidden && aim.classList.contains("open")]), 1000);
        }, 1000);
        """
    )
    assert told == [False, False, True], "opened at once, opened after it was left, opened where the pointer rests"
    page.run("document.querySelector('#table-1-table tbody .cell[tabindex=\"0\"]').focus()")
    shown = note(page)
    assert shown
    page.driver.execute_async_script(
        """
        const passed = document.querySelector("td.running .cell"), done = arguments[0];
        passed.dispatchEvent(new MouseEvent("mouseenter"));
        passed.dispatchEvent(new MouseEvent("mouseleave"));
        setTimeout(done, 500);
        """
    )
    assert note(page) == shown


def test_a_script_in_a_name_is_a_text(page: Browser) -> None:
    assert rows(page)[0] == HOSTILE
    assert page.run("return document.querySelectorAll('main script:not([type])').length") == 0
    failed = page.driver.find_element("css selector", "td.failed .cell")
    page.run("arguments[0].click()", failed)
    assert f"broken {HOSTILE}" in note(page)
    assert page.run("return document.getElementById('note').querySelectorAll('script').length") == 0
    assert page.run("return document.title") == f"Tiny {HOSTILE}"
    assert page.run("return document.querySelector('.stage select.right').options[1].text") == "decoder w/ Concat †"


def test_pictures_change_with_clicks_menus_and_keys(page: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    def shown() -> list[str]:
        sources: list[str] = page.run(
            "return ['under', 'over'].map(c => document.querySelector('.frame .' + c).getAttribute('src'))"
        )
        return [source.removeprefix("tiny/gallery-1/") for source in sources]

    stage = page.driver.find_element("css selector", ".stage")
    page.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", stage)
    assert shown() == ["000/labels.png", "000/1.png"]
    tile = page.driver.find_element("css selector", ".tile[data-sample='1'][data-column='2']")
    page.run("arguments[0].click()", tile)
    assert shown() == ["001/labels.png", "001/2.png"]
    assert "shown" in tile.get_attribute("class")
    assert "Sample 2 of 3, " in stage.find_element("css selector", ".told").text
    left = stage.find_element("css selector", "select.left")
    left.send_keys("real image")
    page.until(lambda: shown()[0] == "001/real.png", "the menu")
    stage.find_element("css selector", "button.previous").click()
    assert shown() == ["000/real.png", "000/2.png"]
    wipe = stage.find_element("css selector", "input[type=range]")
    wipe.send_keys(Keys.HOME)
    page.until(
        lambda: page.run("return document.querySelector('.frame').style.getPropertyValue('--cut')") == "0%", "the key"
    )
    clip = page.run("return getComputedStyle(document.querySelector('.frame .over')).clipPath")
    assert clip == "inset(0px 0px 0px 0%)"
    box = page.run("var b = document.querySelector('.frame').getBoundingClientRect(); return [b.width, b.height]")
    assert box[0] == pytest.approx(box[1], abs=1)
    assert box[0] > 200
    stage.find_element("css selector", "button.next").click()
    stage.find_element("css selector", "button.next").click()
    assert "not generated" in stage.find_element("css selector", ".told").text


def test_downloads_lead_to_files_and_what_is_shown_can_be_saved(page: Browser, pages: Path) -> None:
    links: list[str] = page.run(
        "return Array.from(document.querySelectorAll('a[download]'), a => a.getAttribute('href'))"
    )
    assert {Path(link).name for link in links} >= {"table-1.json", "cells.csv", "report.md", "table.tex"}
    assert all((pages / "site" / link).is_file() for link in links)
    click_heading(page, "mIoU")
    page.run(
        "var t = document.querySelector('form.tools'); t.elements.text.value = 'pix2pix';"
        "t.dispatchEvent(new Event('input'))"
    )
    page.run("document.querySelector('.shown-csv').click()")
    file = page.downloads / "table-1-as-shown.csv"
    page.until(file.is_file, "the download")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        found = list(csv.reader(stream))
    assert [line[0] for line in found] == ["row", "pix2pixHD++", "pix2pixHD", "100% odd_row & co"]
    assert found[0][2] == "mIoU ↑"
    assert found[1][2] == "43.2°"


def test_a_phone_scrolls_inside_the_tables_alone(browser: Browser, pages: Path) -> None:
    for name in ("site/index.html", "site/tiny.html", "site-board/leaderboard.html"):
        browser.open(pages / name, width=390, height=844)
        browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
        sizes: list[int] = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert sizes == [390, 390], name
    browser.open(pages / "site" / "tiny.html", width=390, height=844)
    inner: list[int] = browser.run(
        "var w = document.querySelector('.wide'); w.scrollLeft = 200;"
        "return [w.scrollWidth, w.clientWidth, w.scrollLeft]"
    )
    assert inner[0] > inner[1]
    assert inner[2] == 200
    first = browser.run("return document.querySelector('#table-1-table tbody th').getBoundingClientRect().left")
    assert first == pytest.approx(
        browser.run("return document.querySelector('.wide').getBoundingClientRect().left"), abs=1
    )
    cell = browser.driver.find_element("css selector", "#table-1-table tbody td .cell")
    browser.run("arguments[0].click()", cell)
    box: dict[str, Any] = browser.run(
        "return JSON.parse(JSON.stringify(document.getElementById('note').getBoundingClientRect()))"
    )
    assert box["left"] >= 0
    assert box["right"] <= 390


def test_the_page_can_be_read_without_scripts_and_in_the_dark(browser: Browser, pages: Path) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(pages / "site" / "tiny.html")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert browser.run("return document.querySelector('form.tools').hidden") is True
    assert "commit abcdef0123" in browser.run("return document.body.textContent")
    assert browser.run("return document.querySelectorAll('.strip img').length") == 3 * 5 - 3
    features = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    try:
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 28)"
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_leaderboard_sorts_and_tells(browser: Browser, pages: Path) -> None:
    browser.open(pages / "site-board" / "leaderboard.html")
    browser.until(lambda: browser.run("return !document.querySelector('form.tools').hidden"), "the page's script")
    names = "return Array.from(document.querySelectorAll('#board-1-table tbody tr'), r => r.cells[0].innerText.trim())"
    assert browser.run(names) == ["pix2pixhd-pp", "pix2pixhd", "concat-decoder †", "real images"]
    browser.run(
        "Array.from(document.querySelectorAll('#board-1-table .sort'))"
        ".find(b => b.innerText.startsWith('FD@synthetic')).click()"
    )
    assert browser.run(names) == ["concat-decoder †", "pix2pixhd", "pix2pixhd-pp", "real images"]
    browser.run("document.querySelector('#board-1-table td.best .cell').click()")
    assert "evaluations" in browser.run("return document.getElementById('note').innerText")
    assert json.loads(browser.run("return document.getElementById('cell-notes').textContent"))
