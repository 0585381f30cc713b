"""A stand-in for the compiled operators of mmcv, so that mmsegmentation imports where mmcv-lite is installed.

mmsegmentation's models import `mmcv.ops`, which loads the compiled module `mmcv._ext`. None of our judges calls a
compiled operator, and mmcv's do not build against current torch, so a module of the same name takes the place: it has
every operator by name, and calling one says what is missing. Where a full mmcv is installed, that one is used.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from torch import nn

_NAME = "mmcv._ext"


class CompiledOperatorError(ValueError):
    """A compiled mmcv operator was called, and only mmcv-lite is installed."""


class _StandIn(ModuleType):
    """Has every operator by name; calling one raises CompiledOperatorError."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        # Dunder names are how Python and its tools ask what a module is: these it truly has not.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {_NAME!r} has no attribute {name!r}")

        def operator(*_: Any, **__: Any) -> NoReturn:
            raise CompiledOperatorError(
                f"this model calls mmcv's compiled operator {name}, and the installed mmcv-lite has none; install a "
                "full mmcv (>=2.0.0rc4, <2.2) that fits your torch, or choose a model without it"
            )

        operator.__name__ = name
        return operator


def compiled_operators_of(model: nn.Module) -> list[str]:
    """Names of the model's layers that call compiled operators, where only the stand-in is there to call."""
    if not isinstance(sys.modules.get(_NAME), _StandIn):
        return []
    kinds = {type(layer) for layer in model.modules() if type(layer).__module__.startswith("mmcv.ops.")}
    return sorted(kind.__name__ for kind in kinds if hasattr(sys.modules[kind.__module__], "ext_module"))


def ensure_mmseg() -> None:
    """Make `import mmseg.models` work; to be called before anything of mmseg is imported. Safe to call again.

    Raises ImportError where mmsegmentation itself is missing or refuses the installed mmcv.
    """
    # A module's spec must be a real one: mmengine and mmcv look for it with pkgutil, which dies on None.
    if _NAME not in sys.modules and importlib.util.find_spec(_NAME) is None:
        stand_in = _StandIn(_NAME)
        stand_in.__spec__ = ModuleSpec(_NAME, None)
        sys.modules[_NAME] = stand_in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)
        warnings.simplefilter("ignore", category=FutureWarning)
        warnings.simplefilter("ignore", category=SyntaxWarning)
        import mmseg.models  # noqa: F401
