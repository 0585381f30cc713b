"""What the page's server answers, and whom it refuses."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.data.registry import dataset_spec
from bench.data.synthetic import SyntheticScenes
from bench.evaluation.generate import noise_for
from bench.synthesis.model import Synthesizer
from bench.synthesis.paint import server
from bench.synthesis.paint.server import listening
from bench.synthesis.paint.studio import Studio, sent
from tests.synthesis.conftest import write_map
from tests.synthesis.serving import Client, served
from tests.tiny import Z_DIM

MAPS = SyntheticScenes(split="val", size=(32, 32), images=4)
BLANK = sent(np.zeros((32, 32), np.uint8))


@pytest.fixture(scope="module")
def client(styled: Synthesizer) -> Iterator[Client]:
    with served(Studio(styled, MAPS)) as port:
        yield Client(port)


def pixels(url: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) as picture:
        return np.asarray(picture)


def test_the_page_is_whole_and_forbids_everything_foreign(client: Client) -> None:
    for path, kind in (("/", "text/html"), ("/paint.js", "text/javascript"), ("/paint.css", "text/css")):
        status, body, headers = client.ask("GET", path)
        assert (status, headers["content-type"].split(";")[0]) == (200, kind)
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert b"//cdn" not in body
        assert b"https://" not in body
    assert client.ask("GET", "/../pyproject.toml")[0] == 404


def test_the_model_is_described(client: Client, styled: Synthesizer) -> None:
    status, told = client.json("GET", "/api/model")
    assert status == 200
    assert (told["width"], told["height"], told["z"], told["styles"]) == (32, 32, True, True)
    assert told["classes"][2] == {"id": 2, "name": "sun", "colour": [255, 209, 71]}
    assert told["maps"] == [MAPS.sample_id(index) for index in range(4)]


def test_a_blank_map_begins_with_a_class_that_counts(plain: Synthesizer) -> None:
    for name, first in (("synthetic", 0), ("cityscapes", 7), ("ade20k", 1), ("coco_stuff", 0)):
        model = replace(plain, entry=dataset_spec(name))
        assert Studio(model).described()["first"] == first


def test_a_render_is_the_models_image(client: Client, styled: Synthesizer) -> None:
    labels = MAPS.load(1).labels
    assert client.ask("GET", "/api/maps/1")[1] == sent(labels)
    status, told = client.json("POST", "/api/render?seed=3", sent(labels))
    expected = styled.render(labels, None, noise_for("paint", 3, Z_DIM)[None])[0]
    assert status == 200
    assert np.array_equal(pixels(told["picture"]), expected)
    assert told["milliseconds"] > 0
    again = client.json("POST", "/api/render?seed=4", sent(labels))[1]
    assert not np.array_equal(pixels(again["picture"]), expected)


def test_a_style_is_kept_and_used(client: Client, styled: Synthesizer, style_files: list[Path]) -> None:
    keys = []
    for path in style_files:
        status, told = client.json("POST", "/api/style", path.read_bytes(), x_name=path.name)
        assert (status, told["name"]) == (200, path.name)
        keys.append(told["key"])
    shown = [client.json("POST", f"/api/render?seed=0&style={key}", BLANK)[1]["picture"] for key in keys]
    assert shown[0] != shown[1]
    assert client.json("POST", f"/api/render?seed=0&style={keys[0]}", BLANK)[1]["picture"] == shown[0]
    assert client.json("POST", f"/api/render?seed=1&style={keys[0]}", BLANK)[1]["picture"] != shown[0]


def test_a_map_is_saved_and_loaded(client: Client, tmp_path: Path) -> None:
    labels = MAPS.load(2).labels
    status, saved, headers = client.ask("POST", "/api/save", sent(labels))
    assert (status, headers["content-type"]) == (200, "image/png")
    assert client.ask("POST", "/api/load", saved)[1] == sent(labels)
    larger = write_map(tmp_path / "larger.png", side=64).read_bytes()
    assert len(client.ask("POST", "/api/load", larger)[1]) == 2 * 32 * 32


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/api/load", b"no picture", "bad map.png: cannot be read as a label map (it is empty or not a picture)"),
        ("/api/style", b"", "bad map.png: cannot be read as an image (it is empty or not a picture)"),
        ("/api/render", b"12", "the map holds 2 bytes; 32 x 32 px of two bytes each are 2048"),
        ("/api/render", sent(np.full((32, 32), 12)), "label 12 is in the map; allowed in synthetic are 0 to 11"),
        ("/api/save", sent(np.full((32, 32), 999)), "label 999 is in the map; allowed in synthetic are 0 to 11"),
        ("/api/render?seed=-1", BLANK, "seed is '-1'; it must be a whole number"),
        ("/api/render?seed=99999999999", BLANK, "seed 99999999999: it must be from 0 to 2147483647"),
        ("/api/render?style=abc", BLANK, "style 'abc' is not known (any more: 24 are kept); choose its image again"),
    ],
)
def test_what_cannot_be_is_told(client: Client, path: str, body: bytes, told: str) -> None:
    status, answer = client.json("POST", path, body, x_name="bad%20map.png")
    assert status == 422
    assert answer["error"].startswith(told)


def test_no_more_is_read_than_is_allowed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LARGEST_UPLOAD_BYTES", 2**20)
    for headers in ({}, {"transfer-encoding": "chunked"}):
        given: dict[str, Any] = {name.replace("-", "_"): value for name, value in headers.items()}
        body = b"0" * (2**20 + 1)
        if headers:
            body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        status, answer = client.json("POST", "/api/load", body, x_name="large.png", **given)
        assert status == 413
        assert answer["error"] == "large.png: larger than 1 MiB; make it smaller"


@pytest.mark.parametrize(
    ("method", "headers", "why"),
    [
        ("GET", {"host": "evil.example:80"}, "the Host header is not this server's"),
        ("GET", {"host": "127.0.0.1:1"}, "the Host header is not this server's"),
        ("POST", {"origin": "https://evil.example"}, "the request comes from another origin"),
        ("POST", {"origin": "null"}, "the request comes from another origin"),
        ("POST", {"x_paint": ""}, "the header x-paint is missing"),
    ],
)
def test_other_pages_are_refused(client: Client, method: str, headers: dict[str, str], why: str) -> None:
    path = "/api/render" if method == "POST" else "/api/model"
    status, answer = client.json(method, path, BLANK if method == "POST" else None, **headers)
    assert (status, answer["error"]) == (403, f"refused: {why}")


def test_its_own_names_are_taken(client: Client) -> None:
    for host in (f"127.0.0.1:{client.port}", f"localhost:{client.port}"):
        assert client.ask("POST", "/api/render", BLANK, host=host, origin=f"http://{host}")[0] == 200


def test_requests_reach_the_model_one_after_the_other(styled: Synthesizer, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = 0, 0
    original = Studio.rendered

    def watched(self: Studio, body: bytes, *, seed: int, style: str | None) -> dict[str, Any]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            return original(self, body, seed=seed, style=style)
        finally:
            inside -= 1

    monkeypatch.setattr(Studio, "rendered", watched)
    with served(Studio(styled)) as port:
        client, answers = Client(port), []
        threads = [
            threading.Thread(target=lambda: answers.append(client.ask("POST", "/api/render", BLANK)[0]))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert answers == [200] * 4
    assert most == 1


def test_a_model_without_z(plain: Synthesizer, style_files: list[Path]) -> None:
    with served(Studio(plain)) as port:
        client = Client(port)
        told = client.json("GET", "/api/model")[1]
        assert (told["z"], told["styles"], told["maps"]) == (False, False, [])
        assert client.json("POST", "/api/render", BLANK)[0] == 200
        status, answer = client.json("POST", "/api/style", style_files[0].read_bytes())
        assert status == 422
        assert "it has no image encoder" in answer["error"]
        assert client.json("GET", "/api/maps/0") == (
            422,
            {"error": "map 0: there are 0 maps to start from, numbered from 0"},
        )


def test_only_this_machine_can_connect() -> None:
    opened = listening(0)
    try:
        assert opened.getsockname()[0] == "127.0.0.1"
        with pytest.raises(
            ValueError, match=rf"--port {opened.getsockname()[1]} cannot be used .*choose another, or 0"
        ):
            listening(opened.getsockname()[1])
    finally:
        opened.close()
    with pytest.raises(ValueError, match="--port is 70000; it must be from 0"):
        listening(70000)
