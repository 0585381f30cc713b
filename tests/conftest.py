"""What all tests share."""

from __future__ import annotations

import os

# Tiny tensors gain nothing from threads, and several test processes with spinning threads slow each other down.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
