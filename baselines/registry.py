"""Every variant by name. Each module of ``baselines/variants`` declares some in its tuple ``VARIANTS``.

Adding a variant is one file there; nothing else needs to change.
"""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache

from baselines.variant import Variant

ALIASES = {
    "spade": "spade-decoder",
    "gaugan": "spade-decoder",
    "spade-vae": "spade-decoder-encoder",
    "pix2pixhd++": "pix2pixhd-pp",
}
"""What the field calls some variants."""


@cache
def _variants() -> dict[str, Variant]:
    import baselines.variants as package

    found: dict[str, Variant] = {}
    for module_info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        declared = getattr(module, "VARIANTS", None)
        if not isinstance(declared, tuple) or not all(isinstance(item, Variant) for item in declared):
            raise TypeError(f"{module.__file__} must define VARIANTS, a tuple of Variant; it defines {declared!r}")
        for variant in declared:
            if variant.name in found:
                raise ValueError(f"{module.__file__}: the variant name {variant.name!r} is taken already")
            found[variant.name] = variant
    return found


def list_variants(pattern: str = "*") -> list[Variant]:
    """The registered variants whose name matches a shell pattern, in table order."""
    return [variant for variant in _variants().values() if fnmatchcase(variant.name, pattern)]


def get_variant(name: str) -> Variant:
    """The variant called ``name``, or an alias of it. Raises ValueError that lists the names there are."""
    variants = _variants()
    name = ALIASES.get(name.lower(), name)
    if name not in variants:
        close = get_close_matches(name, variants, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no variant is called {name!r}{hint}\nregistered variants: {', '.join(variants)}")
    return variants[name]
