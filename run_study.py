#!/usr/bin/env python3
"""The harness from the command line: ``./run_study.py --help``."""

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent
_PYTHON = _ROOT / ".venv" / "bin" / "python"

if __name__ == "__main__":
    try:
        import typer  # noqa: F401
    except ModuleNotFoundError:
        if _PYTHON.exists() and Path(sys.prefix).resolve() != (_ROOT / ".venv").resolve():
            os.execv(_PYTHON, [str(_PYTHON), *sys.argv])  # the project's own environment, made by `make`
        sys.exit(
            "the environment is not there yet: run `make` in the project's folder (it makes .venv), then try again"
        )
    from bench.cli import main

    main()
