"""One browser for all tests of this folder; each test gets it with an empty page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.chromium import Browser, absent, running_browser


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that asks for the browser is marked so: in the gate a skip of it is a failure."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def _one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if problem := absent():
        pytest.skip(problem)
    with running_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(_one_browser: Browser) -> Iterator[Browser]:
    """Chromium without a window; skipped with the reason where it is not installed."""
    _one_browser.open("about:blank")
    _one_browser.save_into(_one_browser.downloads)
    yield _one_browser
    _one_browser.open("about:blank")
