"""A real browser without a window, that tells what a page asked of the network and what it complained of."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT_S = 20.0
_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)


def absent() -> str:
    """Why no browser can be driven here, or nothing."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (tests/browser/install.sh installs them)" if missing else ""


class Browser:
    """One browser; ``driver`` is Selenium's, for finding, clicking and typing."""

    def __init__(self, driver: Any, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads
        """Folder of what pages save, unless :meth:`save_into` names another."""
        self.save_into(downloads)

    def save_into(self, folder: Path) -> None:
        """What pages save from now on goes there."""
        where = {"behavior": "allow", "downloadPath": str(folder)}
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)

    def open(self, address: str | Path, *, width: int = 1280, height: int = 900) -> None:
        """Load a file or an address in a window of that size in px; what was told of earlier pages is forgotten."""
        self.resize(width, height)
        self.console()
        self.requests()
        self.driver.get(address.absolute().as_uri() if isinstance(address, Path) else address)

    def resize(self, width: int, height: int) -> None:
        """The page's own size in px, as a phone's too, which is narrower than a window can be."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def run(self, script: str, *arguments: Any) -> Any:
        """What JavaScript ``return``s on the page."""
        return self.driver.execute_script(script, *arguments)

    def until(self, ready: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
        """Wait for a true answer and return it. Fails with ``what`` was waited for and the page's complaints."""
        from selenium.common.exceptions import TimeoutException, WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(self.driver, timeout_s, poll_frequency=0.05, ignored_exceptions=[WebDriverException])
        try:
            return wait.until(lambda _: ready())
        except TimeoutException:
            raise AssertionError(f"{what}: not after {timeout_s:.0f} s; console: {self.console()}") from None

    def hover(self, element: Any, *, tries: int = 100) -> None:
        """Bring the pointer over an element of the window, moving it a little as a hand does until it is there.

        Fails with the element that lies there instead.
        """
        from selenium.webdriver.common.action_chains import ActionChains

        steps = itertools.cycle((0, 1, 0, -1))
        lies = (
            "const r = arguments[0].getBoundingClientRect();"
            "const e = document.elementFromPoint((r.left + r.right) / 2, (r.top + r.bottom) / 2);"
            "return [arguments[0].matches(':hover'), e && e.outerHTML.slice(0, 200)]"
        )
        there = ""
        for _ in range(tries):
            ActionChains(self.driver, duration=0).move_to_element_with_offset(element, next(steps), 0).perform()
            over, there = self.run(lies, element)
            if over:
                return
            time.sleep(0.05)
        raise AssertionError(f"the pointer did not come over the element: {there} lies there")

    def console(self) -> list[str]:
        """Errors and warnings of the page since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Addresses that the page has asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [item["params"] for item in messages if item["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def foreign_requests(self, *own: str) -> list[str]:
        """Those of :meth:`requests` that leave the disk and the addresses that begin with one of ``own``."""
        return [url for url in self.requests() if not url.startswith(("file:", "data:", "blob:", "about:", *own))]

    def screenshot(self, path: Path, *, whole_page: bool = False) -> Path:
        """A PNG of the window, or of the whole page."""
        if whole_page:
            size = self.run("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]")
            self.resize(*size)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert self.driver.save_screenshot(str(path))
        return path


@contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    """Starts Chromium with a new profile in that folder; downloads go to ``profile / "downloads"``."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (*_QUIET, f"--user-data-dir={profile / 'profile'}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    downloads = profile / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    driver = webdriver.Chrome(options=options, service=Service(executable_path=str(shutil.which("chromedriver"))))
    try:
        yield Browser(driver, downloads)
    finally:
        driver.quit()
