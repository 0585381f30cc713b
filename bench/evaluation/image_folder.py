"""A folder of images to be judged, checked by name, size and content before any network is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_NAME_ENDINGS = ("_leftImg8bit", "_gtFine_labelIds", "_synthesized_image", "_fake_B", "_fake")
"""What other programs append to a name: Cityscapes' files, web pages of the released test codes; also several."""
_SHOWN = 40
_SHOWN_FOLDERS = 3
_THREADS = 8


class ImageFolderError(ValueError):
    """A folder whose images cannot be judged as they are; the message lists every problem at once."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """The file of each sample that is judged, all of them readable and of the judged size."""

    folder: Path
    files: tuple[Path, ...]
    """By index of the sample."""
    sha256: str
    """Over sample ids and file contents; free of paths."""
    warnings: tuple[str, ...] = ()

    def read(self, index: int) -> NDArray[np.uint8]:
        """The image of the sample at ``index``, (H, W, 3) uint8 RGB."""
        with Image.open(self.files[index]) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)


def open_image_folder(folder: Path, dataset: Dataset, count: int, *, undone: str = "judged") -> ImageFolder:
    """Match the files of ``folder`` with the first ``count`` samples by name and look at each of them once.

    A file belongs to the sample whose id is its name without extension (endings such as ``_leftImg8bit`` do not
    matter). Folders within are not looked into. Raises ImageFolderError listing every missing, extra, doubled,
    mis-sized and unreadable file; ``undone`` says what was not done with them.
    """
    wanted = [dataset.sample_id(index) for index in range(count)]
    others = {dataset.sample_id(index) for index in range(count, len(dataset))}
    found, problems = _matched(folder, set(wanted) | others)
    problems += [f"{name}: missing (no file of that name)" for name in wanted if name not in found]
    files = [found[name] for name in wanted if name in found]
    with ThreadPoolExecutor(_THREADS) as pool:
        looks = list(pool.map(lambda path: _look(path, dataset.size), files))
    problems += [problem for _, problem, _ in looks if problem]
    if problems:
        raise ImageFolderError(_message(folder, dataset, count, problems, undone))
    digest = hashlib.sha256()
    for name, (content, _, _) in zip(wanted, looks, strict=True):
        digest.update(f"{name} {content}\n".encode())
    lossy = [path.name for path in files if path.suffix.lower() in (".jpg", ".jpeg")]
    warnings = [f"{len(lossy)} of {count} files are JPEG: compression changes every score (FID most); use PNG"]
    return ImageFolder(
        folder=folder, files=tuple(files), sha256=digest.hexdigest(), warnings=tuple(warnings if lossy else ())
    )


def _matched(folder: Path, known: set[str]) -> tuple[dict[str, Path], list[str]]:
    """Files by sample id, and the files that belong to no sample or to one that has a file already."""
    if not folder.is_dir():
        raise ImageFolderError(f"{folder}: there is no such folder; it should hold one image for each sample")
    found: dict[str, Path] = {}
    problems = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
            continue
        name = _sample_name(path, known)
        if name is None:
            problems.append(f"{path.name}: extra (no sample has this name)")
        elif name in found:
            problems.append(f"{path.name}: a second file for sample {name} (beside {found[name].name})")
        else:
            found[name] = path
    return found, problems


def _sample_name(path: Path, known: Iterable[str]) -> str | None:
    """The sample that a file belongs to: its stem, else what is left of it as endings are taken off."""
    name = path.stem
    while name not in known:
        ending = next((ending for ending in _NAME_ENDINGS if name.endswith(ending)), None)
        if ending is None:
            return None
        name = name.removesuffix(ending)
    return name


def _below(folder: Path) -> str:
    """Where images are instead, in words, if ``folder`` itself holds none: the released test code nests them."""
    if any(path.suffix.lower() in SUFFIXES for path in folder.iterdir()):
        return ""
    within = (path.parent for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
    places = list(islice(dict.fromkeys(within), _SHOWN_FOLDERS))
    if not places:
        return f"\n{folder} holds no images at all (allowed are {', '.join(SUFFIXES)})"
    return f"\n{folder} itself holds no images; give one folder of them, such as {', '.join(map(str, places))}"


def _look(path: Path, size: tuple[int, int]) -> tuple[str, str, Path]:
    """(sha256, problem or nothing, path) of one file, decoded in full: a truncated file is found here."""
    try:
        content = path.read_bytes()
        with Image.open(path) as picture:
            picture.load()
            width, height = picture.size
            mode = picture.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return "", f"{path.name}: cannot be read as an image ({error})", path
    if (height, width) != size:
        return "", f"{path.name}: {width}x{height} px, expected {size[1]}x{size[0]} (width x height)", path
    if mode not in ("RGB", "RGBA", "L", "P"):
        return "", f"{path.name}: mode {mode}; save it as 8-bit RGB", path
    return hashlib.sha256(content).hexdigest(), "", path


def _message(folder: Path, dataset: Dataset, count: int, problems: Sequence[str], undone: str) -> str:
    listed = "\n  ".join(problems[:_SHOWN])
    if len(problems) > _SHOWN:
        listed += f"\n  ... and {len(problems) - _SHOWN} more"
    height, width = dataset.size
    number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return (
        f"{folder}: {number} with the {count} images of {dataset.name}/{dataset.split}\n  {listed}\n"
        f"expected one image for each sample, named <sample id>.png (the first is {dataset.sample_id(0)}.png), "
        f"{width}x{height} px; nothing was {undone}{_below(folder)}"
    )
