"""Pages from templates; every text from a store is escaped, in HTML and in the JSON inside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.reporting.site.view import Note, TableView

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
ASSETS = ("site.css", "site.js")
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src 'self' file: data:"
"""What a page may load: nothing from elsewhere, whoever wrote a text that is on it."""


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals["merged"] = _merged
    return environment


def _merged(views: Iterable[TableView]) -> dict[str, Note]:
    return {key: lines for view in views for key, lines in view.note_lines.items()}


def page(template: str, **values: Any) -> str:
    """A page of a folder, with style and script in files beside it."""
    policy = f"{_POLICY}; style-src 'self' file:; script-src 'self' file:"
    return _environment().get_template(template).render(policy=policy, **values)


def page_alone(template: str, **values: Any) -> str:
    """A page that needs nothing beside it: style and script are inside."""
    from markupsafe import Markup

    style, script = (_asset(name) for name in ASSETS)
    policy = f"{_POLICY}; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    inside = {"style": Markup(style), "script": Markup(script)}
    return _environment().get_template(template).render(policy=Markup(policy), **inside, **values)


def _asset(name: str) -> str:
    text = (STATIC / name).read_text(encoding="utf-8")
    assert "</" not in text, f"{name} would end its own element"
    return text


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
