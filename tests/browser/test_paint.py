"""The page of `paint` in a real browser, over a tiny model with an image encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.registry import dataset_spec
from bench.data.synthetic import SyntheticScenes
from bench.data.world.classes import CAR, NAMES, ROAD, SKY
from bench.store import Store
from bench.synthesis.model import Synthesizer
from bench.synthesis.paint.studio import Studio
from spade_core.settings import SpadeSettings
from tests.browser.chromium import Browser
from tests.synthesis.conftest import opened, saved_run, write_map
from tests.synthesis.serving import served

SIDE = 32
CONTROL = "\ue009"


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The pages of the model with z and an encoder, and of the one without."""
    store = Store(tmp_path_factory.mktemp("store"))
    for name in ("spade-decoder-encoder", "spade-decoder"):
        saved_run(store, name)
    maps = SyntheticScenes(split="val", size=(SIDE, SIDE), images=3)
    with (
        served(Studio(opened(store, "spade-decoder-encoder"), maps)) as styled,
        served(Studio(opened(store, "spade-decoder"))) as plain,
    ):
        yield {"styled": f"http://127.0.0.1:{styled}/", "plain": f"http://127.0.0.1:{plain}/"}


class Page:
    """The page, and what a user does on it."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self.address = browser, address
        browser.open(address)
        browser.until(lambda: self.renders() >= 1, "the first image")

    def get(self, id_: str) -> Any:
        return self.browser.driver.find_element("id", id_)

    def renders(self) -> int:
        return int(self.browser.run("return Number(document.getElementById('image')?.dataset.renders ?? 0)"))

    def image(self) -> str:
        """The newest image, once nothing is on its way."""
        done = "const i = document.getElementById('image'); return i.complete && !i.classList.contains('old') && i.src"
        return str(self.browser.until(lambda: self.browser.run(done), "an image of the newest map"))

    def colours(self) -> np.ndarray[Any, Any]:
        """(SIDE, SIDE, 3): what is drawn on the map."""
        script = """const canvas = document.getElementById('map');
            return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"""
        return np.array(self.browser.run(script), np.uint8).reshape(SIDE, SIDE, 4)[..., :3]

    def choose(self, name: str) -> None:
        self.browser.driver.find_element("css selector", f"#classes button[data-id='{NAMES.index(name)}']").click()

    def press(self, keys: str, *, holding: str = "") -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        chain = ActionChains(self.browser.driver)
        if holding:
            chain.key_down(holding).send_keys(keys).key_up(holding).perform()
        else:
            chain.send_keys(keys).perform()

    def draw(self, *points: tuple[float, float]) -> None:
        """Press at the first point of the map (shares of its width and height), move over the others, let go."""
        from selenium.webdriver.common.action_chains import ActionChains

        canvas = self.get("map")
        width, height = canvas.size["width"], canvas.size["height"]
        places = [(round((x - 0.5) * width), round((y - 0.5) * height)) for x, y in points]
        chain = ActionChains(self.browser.driver, duration=30)
        chain.move_to_element_with_offset(canvas, *places[0]).click_and_hold()
        for x, y in places[1:]:
            chain.move_to_element_with_offset(canvas, x, y)
        chain.release().perform()

    def give(self, id_: str, file: Path) -> None:
        """Choose a file in an input that the page keeps out of sight."""
        self.browser.run("document.getElementById(arguments[0]).hidden = false", id_)
        self.get(id_).send_keys(str(file))
        self.browser.run("document.getElementById(arguments[0]).hidden = true", id_)

    def message(self) -> str:
        return str(
            self.browser.until(lambda: self.get("message").is_displayed() and self.get("message").text, "a word")
        )

    def quiet(self) -> None:
        """Nobody complained, and nobody was asked but the page's own server."""
        assert self.browser.console() == []
        assert self.browser.foreign_requests(self.address) == []


@pytest.fixture
def page(browser: Browser, addresses: dict[str, str]) -> Page:
    return Page(browser, addresses["styled"])


def colour(id_: int) -> list[int]:
    from bench.data.world.classes import COLOURS

    return list(COLOURS[id_])


def test_a_stroke_changes_map_and_image_and_undo_takes_both_back(page: Page) -> None:
    before, image = page.colours(), page.image()
    page.choose("car")
    page.draw((0.1, 0.5), (0.5, 0.5), (0.9, 0.5))
    drawn = page.colours()
    middle = drawn[SIDE // 2, 4 : SIDE - 4]
    assert (middle == colour(CAR)).all()
    assert np.array_equal(drawn[:8], before[:8])
    painted = page.image()
    assert painted != image
    page.press("z", holding=CONTROL)
    page.browser.until(lambda: np.array_equal(page.colours(), before), "the map as it was")
    assert page.image() == image
    page.get("redo").click()
    assert np.array_equal(page.colours(), drawn)
    assert page.image() == painted
    page.quiet()


def test_fill_pick_search_and_keys(page: Page) -> None:
    page.get("search").send_keys("roa\ue007")  # Enter
    shown = [
        b.text.split("\n")[0] for b in page.browser.driver.find_elements("css selector", "#classes button") if b.text
    ]
    assert shown == ["road"]
    page.get("search").send_keys("\ue00c")  # Escape
    page.get("blank").click()
    assert (page.colours() == colour(ROAD)).all()
    page.press("1")
    page.press("f")
    page.draw((0.5, 0.5))
    assert (page.colours() == colour(SKY)).all()
    page.press("3b")
    for _ in range(20):
        page.press("[")
    assert page.get("size-shown").text == "1"
    page.get("map").send_keys("\ue014 ")  # right, space
    assert (page.colours() == colour(2)).all(axis=-1).sum() == 1
    page.press("i")
    page.draw((0.1, 0.1))
    assert page.browser.driver.find_element("css selector", "#classes [aria-pressed=true]").text.startswith("sky")
    page.quiet()


def test_seeds_samples_and_styles(page: Page, tmp_path: Path) -> None:
    first = page.image()
    page.get("next").click()
    second = page.image()
    assert second != first
    page.get("show-samples").click()
    strip = "#sample-strip img"
    sources = "return [...document.querySelectorAll(arguments[0])].map(each => each.src)"
    found = page.browser.until(
        lambda: (
            all(src.startswith("data:") for src in page.browser.run(sources, strip))
            and page.browser.run(sources, strip)
        ),
        "the samples",
    )
    assert found[0] == second
    assert len(set(found)) == 6
    page.browser.driver.find_elements("css selector", "#sample-strip button")[3].click()
    assert page.image() == found[3]
    for number, level in enumerate((20, 220)):
        noise = np.random.default_rng(number).integers(0, 30, (48, 48, 3))
        Image.fromarray((level + noise).astype(np.uint8)).save(tmp_path / f"style{number}.png")
        page.give("style-file", tmp_path / f"style{number}.png")
        page.browser.until(
            lambda number=number: len(page.browser.driver.find_elements("css selector", "[data-style]")) == number + 1,
            "the style",
        )
    dark, light = page.browser.driver.find_elements("css selector", "[data-style]")
    assert light.get_attribute("aria-pressed") == "true"
    of_light = page.image()
    dark.click()
    assert page.image() != of_light
    page.get("no-style").click()
    page.browser.run("const s = document.getElementById('seed'); s.value = 0; s.dispatchEvent(new Event('change'))")
    assert page.image() == first
    page.quiet()


def test_a_map_is_saved_and_loaded(page: Page, browser: Browser, tmp_path: Path) -> None:
    browser.save_into(tmp_path)
    page.choose("car")
    page.draw((0.2, 0.2), (0.6, 0.7))
    drawn, image = page.colours(), page.image()
    page.get("save").click()
    saved = tmp_path / "label-map.png"
    browser.until(saved.is_file, "the saved map")
    with Image.open(saved) as picture:
        assert (picture.mode, picture.size) == ("P", (SIDE, SIDE))
        assert CAR in np.unique(np.asarray(picture))
    page.get("download").click()
    browser.until((tmp_path / "image-seed0.png").is_file, "the saved image")
    page.get("blank").click()
    assert page.image() != image
    page.give("map-file", saved)
    browser.until(lambda: np.array_equal(page.colours(), drawn), "the loaded map")
    assert page.image() == image
    page.quiet()


def test_a_bad_upload_is_told_and_changes_nothing(page: Page, tmp_path: Path) -> None:
    before, image = page.colours(), page.image()
    write_map(tmp_path / "high.png", ids=200)
    Image.new("RGB", (8, 8)).save(tmp_path / "colours.png")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    for name, told in (
        ("high.png", "allowed in synthetic are 0 to 11"),
        ("colours.png", "colours.png: a label map of mode RGB"),
        ("torn.png", "torn.png: cannot be read as a label map"),
    ):
        page.give("map-file", tmp_path / name)
        page.browser.until(lambda told=told: told in page.message(), told)
        page.get("message").find_element("tag name", "button").click()
    assert not page.get("message").is_displayed()
    page.give("style-file", tmp_path / "torn.png")
    assert "torn.png: cannot be read as an image" in page.message()
    assert np.array_equal(page.colours(), before)
    assert page.image() == image
    assert all("422" in line for line in page.browser.console())


def test_start_maps_and_a_tablet(page: Page) -> None:
    from selenium.webdriver.support.ui import Select

    before = page.colours()
    Select(page.get("start")).select_by_index(2)
    page.browser.until(lambda: not np.array_equal(page.colours(), before), "another map")
    page.browser.resize(768, 1024)
    assert page.browser.run("return document.documentElement.scrollWidth") <= 768
    boxes = [page.get(name).rect for name in ("map", "image")]
    assert all(box["width"] > 250 for box in boxes)
    assert abs(boxes[0]["y"] - boxes[1]["y"]) < 2
    page.quiet()


def test_everything_can_be_reached_and_has_a_name(page: Page) -> None:
    script = """return [...document.querySelectorAll('button, input:not([hidden]), select, canvas, img')]
        .filter(e => e.offsetParent && !(e.ariaLabel || e.textContent.trim() || e.labels?.length || e.alt || e.title))
        .map(e => e.outerHTML)"""
    assert page.browser.run(script) == []
    assert page.browser.run("return document.querySelectorAll('[tabindex=\"-1\"]').length") == 0


def test_many_classes_begin_with_those_of_the_map(browser: Browser, tmp_path: Path) -> None:
    entry = dataset_spec("coco_stuff")
    generator = SpadeSettings(width=1, hidden=2).build(entry.spec, (SIDE, SIDE)).eval()
    model = Synthesizer(
        name="many",
        stem="many",
        entry=entry,
        size=(SIDE, SIDE),
        generator=generator,
        encoder=None,
        z_dim=None,
        of_label=np.arange(entry.spec.ids),
        device=torch.device("cpu"),
    )
    ids = np.full((SIDE, SIDE), 154, np.uint8)
    ids[:4] = 255  # don't care
    Image.fromarray(ids).save(tmp_path / "sand.png")
    with served(Studio(model)) as port:
        page = Page(browser, f"http://127.0.0.1:{port}/")
        page.give("map-file", tmp_path / "sand.png")
        first = (
            "return [...document.querySelectorAll('#classes button')].slice(0, 3).map(each => Number(each.dataset.id))"
        )
        page.browser.until(lambda: page.browser.run(first) == [154, 182, 0], "the classes of the map first")
        page.image()
        page.quiet()


def test_a_model_without_z_offers_none(browser: Browser, addresses: dict[str, str]) -> None:
    page = Page(browser, addresses["plain"])
    for name in ("look", "samples", "styles", "start"):
        assert not page.get(name).is_displayed(), name
    assert "makes one image of a label map" in page.get("note").text
    page.choose("sun")
    page.draw((0.5, 0.5))
    page.image()
    page.quiet()
