"""What the reporting modules may import, and how long they take."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import bench.reporting
from tests.speed import REPORT, processor_s

from .conftest import FakeStore

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(f"bench.reporting.{info.name}" for info in pkgutil.iter_modules(bench.reporting.__path__))


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_no_reporting_module_imports_torch() -> None:
    code = (
        "import importlib, sys, json\n"
        f"for name in {MODULES!r}: importlib.import_module(name)\n"
        "print(json.dumps(list(sys.modules)))"
    )
    loaded = set(json.loads(run_python(code)))
    assert set(MODULES) <= loaded
    assert not {"torch", "torchvision", "mmseg"} & loaded


def test_status_and_plan_import_nothing_heavy() -> None:
    code = (
        "import sys, json\nimport bench.reporting.status, bench.reporting.terminal\n"
        "from bench.reporting.status import status_table, plan_table\n"
        "from rich.console import Console\nConsole().print(status_table([])); Console().print(plan_table([]))\n"
        "print(json.dumps(list(sys.modules)))"
    )
    loaded = set(json.loads(run_python(code).splitlines()[-1]))
    assert not {"torch", "pandas", "numpy", "scipy", "matplotlib", "PIL", "jinja2"} & loaded


def test_a_report_takes_less_than_twice_what_its_libraries_take(partial: FakeStore, tmp_path: Path) -> None:
    """Processor time, so that other work on the machine does not count; imports and the interpreter are in both."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom bench.reporting.render import report\n"
        "from bench.store import Store\n"
        "from tests.reporting.conftest import make_study\n"
        "report(make_study(), Store(sys.argv[1]), Path(sys.argv[2]), ['terminal', 'md', 'csv', 'html'])\n"
        "assert 'torch' not in sys.modules and 'pandas' in sys.modules"
    )
    arguments = str(partial.store.root), str(tmp_path / "out")
    assert "43.2°" in run_python(code, *arguments)
    assert (tmp_path / "out" / "score_vs_parameters.svg").is_file()
    assert processor_s(code, *arguments) < 2.0 * processor_s(REPORT, str(tmp_path / "figure"))
