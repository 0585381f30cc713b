"""What the page asks for, without HTTP: maps in and out, styles, images. One model, one request at a time."""

from __future__ import annotations

import base64
import hashlib
import io
import time
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset
from bench.data.entry import palette
from bench.data.transforms import prepare_ids
from bench.evaluation.generate import noise_for
from bench.synthesis.inputs import InputError, label_map_png, read_label_map, read_photograph, style_pixels
from bench.synthesis.model import NO_ENCODER, Style, Synthesizer

LARGEST_UPLOAD_BYTES = 16 * 2**20
MOST_STYLES = 24
"""Style images that are remembered; the one used longest ago goes first."""
MOST_MAPS = 60
"""Maps of the data set that the page offers to start from."""
LARGEST_SEED = 2**31 - 1
_NOISE_NAME = "paint"
_IDS = np.dtype("<u2")
"""How ids travel: two bytes a pixel, row by row."""


class Studio:
    """A model, the style images that were shown to it, and maps to start from."""

    def __init__(self, model: Synthesizer, maps: Dataset | None = None) -> None:
        self.model = model
        self.maps = maps
        self._styles: OrderedDict[str, Style] = OrderedDict()

    def described(self) -> dict[str, Any]:
        """What the page has to know of the model and its data set."""
        entry, maps = self.model.entry, self.maps
        colours = palette(entry)
        offered = range(min(len(maps), MOST_MAPS)) if maps is not None else ()
        return {
            "name": self.model.name,
            "dataset": entry.title,
            "height": self.model.size[0],
            "width": self.model.size[1],
            "classes": [
                {"id": number, "name": name, "colour": list(colours[number])}
                for number, name in enumerate(entry.class_names)
            ],
            "first": next(number for number in range(entry.spec.ids) if number not in entry.ignore_ids),
            "z": self.model.z_dim is not None,
            "styles": self.model.encoder is not None,
            "maps": [maps.sample_id(index) for index in offered] if maps is not None else [],
            "largest_upload_bytes": LARGEST_UPLOAD_BYTES,
        }

    def start(self, index: int) -> bytes:
        """The ids of a map of the data set. Raises InputError for an index that is not offered."""
        offered = min(len(self.maps), MOST_MAPS) if self.maps is not None else 0
        if self.maps is None or not 0 <= index < offered:
            raise InputError(f"map {index}: there are {offered} maps to start from, numbered from 0")
        return sent(self.maps.load(index).labels)

    def loaded(self, content: bytes, name: str) -> bytes:
        """The ids of an uploaded label map, at the model's size. Raises InputError."""
        return sent(prepare_ids(read_label_map(content, self.model.entry, name), self.model.size, None))

    def saved(self, body: bytes) -> bytes:
        """A PNG of the ids as the data set's label files hold them. Raises InputError."""
        return label_map_png(self.received(body), self.model.entry)

    def add_style(self, content: bytes, name: str) -> dict[str, str]:
        """Encode an image; returns its key and a picture of what the encoder saw. Raises InputError."""
        if self.model.encoder is None:
            raise InputError(f"{name}: {NO_ENCODER}")
        pixels = style_pixels(read_photograph(content, name), self.model.size)
        key = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
        self._styles[key] = self.model.style_of(pixels)
        self._styles.move_to_end(key)
        while len(self._styles) > MOST_STYLES:
            self._styles.popitem(last=False)
        return {"key": key, "name": name, "picture": data_url(pixels)}

    def rendered(self, body: bytes, *, seed: int, style: str | None) -> dict[str, Any]:
        """The image of the ids, and how long it took. Raises InputError for ids, seed or style that are not there."""
        labels, z = self.received(body), self._z(seed, style)
        started = time.perf_counter()
        (image,) = self.model.render(labels, None, z)
        return {"picture": data_url(image), "milliseconds": round(1000 * (time.perf_counter() - started), 1)}

    def received(self, body: bytes) -> NDArray[np.integer]:
        """Ids (H, W) as the page sends them. Raises InputError for another number of pixels or an id out of range."""
        height, width = self.model.size
        if len(body) != height * width * _IDS.itemsize:
            raise InputError(
                f"the map holds {len(body)} bytes; {width} x {height} px of two bytes each are {height * width * 2}"
            )
        ids = np.frombuffer(body, _IDS).reshape(height, width)
        last = self.model.entry.spec.ids - 1
        if int(ids.max()) > last:
            raise InputError(
                f"label {int(ids.max())} is in the map; allowed in {self.model.entry.name} are 0 to {last}"
            )
        return ids.astype(np.uint8 if last < 256 else np.uint16)

    def _z(self, seed: int, style: str | None) -> NDArray[np.float32] | None:
        """Without a style the noise of the seed; with one its mean for seed 0, and draws around it for the others."""
        if not 0 <= seed <= LARGEST_SEED:
            raise InputError(f"seed {seed}: it must be from 0 to {LARGEST_SEED}")
        if self.model.z_dim is None:
            if style is not None:
                raise InputError("style: this model takes none, it makes one image of a label map")
            return None
        noise = noise_for(_NOISE_NAME, seed, self.model.z_dim)
        if style is None:
            return noise[None]
        if style not in self._styles:
            raise InputError(f"style {style!r} is not known (any more: {MOST_STYLES} are kept); choose its image again")
        self._styles.move_to_end(style)
        chosen = self._styles[style]
        return (chosen.mean if seed == 0 else chosen.mean + chosen.deviation * noise)[None].astype(np.float32)


def sent(labels: NDArray[np.integer]) -> bytes:
    """Ids (H, W) as the page receives them."""
    return np.ascontiguousarray(labels, _IDS).tobytes()


def data_url(pixels: NDArray[np.uint8]) -> str:
    """An image (H, W, 3) as the address of itself."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
