"""The browser tells the truth: of what a page asked for and of its errors. Other tests lean on that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import Browser

PAGE = """<!doctype html><title>a page</title><body style="margin:0;height:3000px">
<img src="http://127.0.0.1:9/picture.png"><script>undefined_function()</script>"""


def test_requests_and_errors_are_seen(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE)
    browser.open(page)
    browser.until(lambda: browser.driver.title == "a page", "the page")
    wanted = "http://127.0.0.1:9/picture.png"
    seen: list[str] = []
    browser.until(lambda: seen.extend(browser.foreign_requests()) or wanted in seen, "the request of the picture")
    assert set(seen) == {wanted}
    assert any("undefined_function" in line for line in browser.console())


def test_a_quiet_page_is_quiet_and_drawn_at_the_size_asked_for(browser: Browser, tmp_path: Path) -> None:
    from PIL import Image

    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>quiet</title><body style='margin:0;height:3000px'>")
    browser.open(page, width=390, height=844)
    assert browser.foreign_requests() == []
    assert browser.console() == []
    assert browser.run("return window.innerWidth") == 390
    with Image.open(browser.screenshot(tmp_path / "whole.png", whole_page=True)) as picture:
        assert picture.size == (390, 3000)


def test_a_pointer_over_an_element_is_over_it_and_what_covers_one_is_told(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><title>two</title><style>div { position: absolute; width: 90px; height: 40px; top: 30px }"
        "</style><div id=free style='left: 20px'></div><div id=under style='left: 200px'></div>"
        "<div id=over style='left: 200px'></div>"
    )
    browser.open(page)
    browser.hover(browser.driver.find_element("id", "free"))
    assert browser.run("return document.querySelector('div:hover').id") == "free"
    with pytest.raises(AssertionError, match='id="over"'):
        browser.hover(browser.driver.find_element("id", "under"), tries=5)
