"""Configs of mmsegmentation: found and hashed without importing it, which takes seconds. Free of torch."""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path


def installed_configs() -> Path:
    """The folder of the configs that come with mmsegmentation. Raises ValueError where it is not installed."""
    found = importlib.util.find_spec("mmseg")
    if found is None or found.origin is None:
        raise ValueError("mmsegmentation is not installed; run `make` to install the environment")
    return Path(found.origin).parent / ".mim" / "configs"


def find_config(config: str, folder: Path) -> Path:
    """The config file: a path ending in ``.py`` (relative ones from ``folder``), or a name in mmsegmentation.

    Raises ValueError that names the path, or names that are alike.
    """
    if config.endswith(".py"):
        path = (folder / Path(config).expanduser()).resolve()
        if not path.is_file():
            raise ValueError(f"{path}: there is no such config file")
        return path
    names = _names()
    if config not in names:
        alike = difflib.get_close_matches(config, names, n=3)
        hint = f"; did you mean {', '.join(alike)}?" if alike else f"; its configs are below {installed_configs()}"
        raise ValueError(f"mmsegmentation has no config {config!r}{hint}")
    return names[config]


def config_sha256(path: Path) -> str:
    """Digest of a config and of every config that it builds on (``_base_``, ``read_base``); free of paths.

    Raises ValueError naming a file that cannot be read as Python or that is not there.
    """
    digest = hashlib.sha256()
    _add(path, digest, ())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _names() -> dict[str, Path]:
    return {path.stem: path for path in sorted(installed_configs().glob("*/*.py")) if path.parent.name != "_base_"}


def _add(path: Path, digest: hashlib._Hash, above: tuple[Path, ...]) -> None:
    if path in above:
        raise ValueError(f"{path}: the config builds on itself")
    try:
        content = path.read_bytes()
        tree = ast.parse(content)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); {_needed_by(above)}") from None
    except SyntaxError as error:
        raise ValueError(f"{path}: is not Python (line {error.lineno}: {error.msg})") from None
    digest.update(hashlib.sha256(content).digest())
    for base in _bases(tree, path):
        _add(base, digest, (*above, path))


def _needed_by(above: tuple[Path, ...]) -> str:
    return f"{above[-1]} builds on it" if above else "give the path of a config file"


def _bases(tree: ast.Module, path: Path) -> list[Path]:
    """The configs that a config names as its bases, in order; those of other packages (``pkg::file``) are left out."""
    bases: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(isinstance(x, ast.Name) and x.id == "_base_" for x in node.targets):
            value = ast.literal_eval(node.value)
            bases += [value] if isinstance(value, str) else list(value)
        if isinstance(node, ast.With) and "read_base" in ast.unparse(node.items[0]):
            for inner in node.body:
                if isinstance(inner, ast.ImportFrom) and inner.level:
                    up = "../" * (inner.level - 1)
                    bases.append(up + (inner.module or "").replace(".", "/") + ".py")
    return [(path.parent / base).resolve() for base in bases if "::" not in base]
