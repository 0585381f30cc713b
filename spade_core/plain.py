"""Whether networks compute as they are written down: each convolution at every pixel, of the one-hot map.

So they do inside ``torch.compile``, where no size may depend on the label map, and where tests and benchmarks want to
compare with it. The results are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_asked_for = False


def computes_plainly() -> bool:
    """Whether to take the plain formulation now."""
    return _asked_for or torch.compiler.is_compiling()


@contextmanager
def plain_formulation() -> Iterator[None]:
    """All networks take the plain formulation in this block (of this process; not for several threads)."""
    global _asked_for
    before, _asked_for = _asked_for, True
    try:
        yield
    finally:
        _asked_for = before
