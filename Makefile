# `make quickstart` and `make test` work on a fresh machine; both may be repeated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := environment
.PHONY: environment quickstart test test-all drills drills-ci lint clean

environment: $(READY)

# The stamp lies in .venv, so a deleted environment is made anew, and a changed pyproject.toml is installed again.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python {v[0]}.{v[1]} found; 3.11 to 3.13 is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=23.1"
	$(BIN)/python -m pip install --quiet --editable ".[dev,offline-features]"
	@touch $(READY)

quickstart: $(READY)
	$(BIN)/python run_study.py run quickstart

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2

test-all: $(READY)
	$(BIN)/python -m pytest -m "not slurm and not gpu"

# Every disaster on a real SLURM cluster of this machine, which the tests make and unmake (root; Debian or Ubuntu).
drills: $(READY)
	$(BIN)/python -m pytest tests/slurm -m slurm --durations=0 --durations-min=1

# Those of them that .ci/run does, in a few minutes.
drills-ci: $(READY)
	$(BIN)/python -m pytest tests/slurm -m "slurm and drill_ci" --durations=0 --durations-min=1

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

clean:
	rm -rf $(VENV) build *.egg-info
