"""Who may import whom, how long a file may be, and that the two lists of packages are one."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("spade_core", "baselines", "bench", "studies")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LINES, FUNCTION_LINES = 400, 60
LONG_FUNCTIONS = {"bench/training/trainer.py:train", "bench/cli/runs.py:train", "bench/cli/evaluation.py:evaluate"}
LONG_FUNCTIONS |= {"bench/cli/synthesis.py:synthesize", "bench/cli/synthesis.py:paint"}
LONG_FUNCTIONS |= {"bench/cli/studies.py:report", "bench/cli/human.py:make"}
"""The training loop, and verbs whose options are one line each."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def walk(node: ast.AST, *, lazy: bool) -> Iterator[ast.AST]:
    """All nodes but those for type checkers; without ``lazy`` also without those inside functions."""
    yield node
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        if not lazy and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        yield from walk(child, lazy=lazy)


def imports_of(path: Path, *, lazy: bool = True) -> set[str]:
    """Full names of imported modules; ``from a.b import c`` counts as ``a.b`` and ``a.b.c``."""
    found: set[str] = set()
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in walk(ast.parse(path.read_text(encoding="utf-8")), lazy=lazy):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def breaches(within: str, forbidden: tuple[str, ...], *, lazy: bool = True) -> list[str]:
    """Files of the package or module ``within`` that import something under one of the ``forbidden`` names."""
    found = []
    for path in FILES:
        module = module_of(path)
        if module != within and not module.startswith(f"{within}."):
            continue
        for name in sorted(imports_of(path, lazy=lazy)):
            if any(name == item or name.startswith(f"{item}.") for item in forbidden):
                found.append(f"{path.relative_to(ROOT)} imports {name}")
    return found


HEAVY = ("torch", "torchvision", "pandas", "numpy", "scipy", "matplotlib", "PIL", "pytorch_fid", "mmseg", "mmengine")


@pytest.mark.parametrize(
    ("within", "forbidden"),
    [
        ("spade_core", ("baselines", "bench", "studies", "numpy", "pandas", "typer", "rich")),
        ("baselines", ("bench", "studies", "typer", "rich", "pandas")),
        ("bench.training", ("bench.launching", "bench.reporting", "bench.cli", "studies", "submitit")),
        ("bench.evaluation", ("bench.launching", "bench.reporting", "bench.cli", "studies", "submitit")),
        ("bench.sims", ("bench.launching", "bench.reporting", "bench.cli", "studies", "submitit")),
        ("bench.data", ("torch", "torchvision", "bench.training", "bench.evaluation", "bench.launching", "bench.cli")),
        ("bench.reporting", ("torch", "torchvision", "bench.training", "bench.launching", "bench.cli")),
        ("bench.launching", ("bench.reporting", "bench.cli", "studies", "bench.synthesis")),
        ("bench.synthesis", ("bench.reporting", "bench.cli", "studies", "submitit")),
        ("bench.human", ("torch", "torchvision", "bench.training", "bench.launching", "bench.cli", "studies")),
        *((f"bench.{name}", ("torch", "pandas", "bench.training")) for name in ("study", "plan", "store", "run_spec")),
        ("studies", ("torch", "pandas", "bench.training", "bench.launching", "bench.cli", "bench.reporting")),
    ],
)
def test_walls(within: str, forbidden: tuple[str, ...]) -> None:
    assert any(module_of(path).startswith(within) for path in FILES)
    assert breaches(within, forbidden) == []


def test_the_walls_are_seen() -> None:
    """The check finds imports that exist: plain, from, relative ones inside functions; not those for type checkers."""
    assert breaches("bench.training", ("torch",))
    assert breaches("bench.cli", ("bench.launching",))
    assert not breaches("bench.cli", ("bench.launching",), lazy=False)
    assert not breaches("baselines.recipe", ("torch",))
    assert not breaches("baselines.variant", ("torch",))
    assert breaches("bench.evaluation", ("bench.store.Score",))


def test_the_command_line_imports_nothing_heavy_before_a_verb_needs_it() -> None:
    assert breaches("bench.cli", (*HEAVY, "bench.training", "bench.launching", "bench.reporting"), lazy=False) == []


def test_one_module_knows_the_ranks_and_one_package_slurm() -> None:
    distributed = [path for path in FILES if any(n.startswith("torch.distributed") for n in imports_of(path))]
    assert {module_of(path) for path in distributed} <= {"bench.training.distributed", "spade_core.sync_batch_norm"}
    submits = [module_of(path) for path in FILES if any(name.split(".")[0] == "submitit" for name in imports_of(path))]
    assert all(name.startswith("bench.launching") for name in submits)


def test_spade_core_needs_torch_alone() -> None:
    roots = {
        name.split(".")[0] for path in FILES if path.is_relative_to(ROOT / "spade_core") for name in imports_of(path)
    }
    assert roots - set(sys.stdlib_module_names) <= {"torch", "torchvision", "spade_core"}


def test_what_answers_on_a_login_node_imports_neither_torch_nor_pandas() -> None:
    code = (
        "import importlib, json, pkgutil, sys\n"
        "import bench.study, bench.plan, bench.store, bench.run_spec, bench.cli, studies\n"
        "from baselines.registry import list_variants\n"
        "from baselines import recipe, settings, switches, variant\n"
        "from spade_core import label_spec, settings\n"
        "list_variants(), bench.study.list_studies()\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(done.stdout))
    assert {"bench.plan", "baselines.variants.pix2pixhd", "studies.quickstart"} <= loaded
    assert loaded & set(HEAVY) == set()


def too_long(path: Path) -> Iterator[str]:
    text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    if len(text.splitlines()) > LINES:
        yield f"{name} has {len(text.splitlines())} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES and f"{name}:{node.name}" not in LONG_FUNCTIONS:
                yield f"{name}:{node.name} has {length} lines"


def test_files_and_functions_can_be_read_in_one_sitting() -> None:
    assert [line for path in (*FILES, *sorted((ROOT / "tests").rglob("*.py"))) for line in too_long(path)] == []


def without_spaces(requirement: str) -> str:
    return re.sub(r"\s", "", requirement)


def installed_by_make(project: dict[str, Any]) -> list[str]:
    """What `make quickstart` needs: the dependencies and the features that come without a download."""
    assert '".[dev,offline-features]"' in (ROOT / "Makefile").read_text(encoding="utf-8")
    return [*project["dependencies"], *project["optional-dependencies"]["offline-features"]]


def test_environment_yml_is_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == project["name"]
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert conda == [f"python{without_spaces(project['requires-python'])}", "pip"]
    assert [without_spaces(item) for item in pip] == [without_spaces(item) for item in installed_by_make(project)]


def test_dependencies_have_bounds_and_are_installed_within_them() -> None:
    from importlib import metadata

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in installed_by_make(project):
        requirement = Requirement(text)
        assert requirement.specifier, f"{text} has no bound"
        assert requirement.specifier.contains(metadata.version(requirement.name), prereleases=True), text
