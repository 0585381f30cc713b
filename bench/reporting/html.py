"""A report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from bench.reporting.cells import Table
from bench.reporting.text import about, cell_text, reason_lines

_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1280px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2.5rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; border-top: 2px solid; border-bottom: 2px solid }
th, td { padding: .25rem .45rem; text-align: right; white-space: nowrap; font-size: .9rem }
th { white-space: normal; vertical-align: bottom }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff }
thead tr:last-child th { border-bottom: 1px solid } th.group { border-bottom: 1px solid #999; text-align: center }
tr.real td { border-top: 1px solid; font-style: italic }
th.group { box-shadow: inset .5rem 0 #fff } th.group span { white-space: nowrap }
.best { font-weight: 700 } .second { text-decoration: underline }
.pending, .na { color: #777 } .running { color: #06639b } .failed { color: #b3261e }
ul { padding-left: 1.2rem; color: #444; font-size: .87rem } details { font-size: .87rem }
figure { margin: 1.5rem 0 } figure img { max-width: 100%; height: auto }
figcaption { color: #444; font-size: .87rem }
</style></head><body>
<h1>{{ title }}</h1>
{% for part in parts %}
<h2>{{ part.table.title }}</h2>
<div class="wide"><table><thead>
{% if part.grouped %}<tr><th></th>
{%- for group, count in part.groups %}<th colspan="{{ count }}"{% if group %} class="group"{% endif %}>
{%- for piece in group.split(", ") %}<span>{{ piece }}{{ "," if not loop.last }}</span> {% endfor %}</th>
{%- endfor %}</tr>{% endif %}
<tr><th></th>{% for column in part.table.columns -%}
<th title="{{ column.meaning }}">{{ column.heading }}</th>{% endfor %}</tr>
</thead><tbody>
{% for row, cells in part.lines %}<tr{% if row.real %} class="real"{% endif %}><td>{{ row.label }}{{ row.marks }}</td>
{%- for text, told, cell in cells %}<td class="{{ cell.standing or cell.state.replace('/', '') }}"
{%- if told %} title="{{ told }}"{% endif %}>{{ text }}</td>
{%- endfor %}</tr>
{% endfor %}</tbody></table></div>
<ul>{% for line in part.notes %}<li>{{ line }}</li>{% endfor %}</ul>
{% if part.table.footnotes %}<details><summary>Where the numbers come from</summary>
<ul>{% for line in part.table.footnotes %}<li>{{ line }}</li>{% endfor %}</ul></details>{% endif %}
{% endfor %}
{% for picture in pictures %}<figure>{{ picture.body }}<figcaption>{{ picture.caption }}</figcaption></figure>
{% endfor %}</body></html>
"""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of a report."""

    file: Path
    """PNG, or SVG."""
    caption: str


def html(title: str, tables: Sequence[Table], pictures: Sequence[Picture] = ()) -> str:
    """The whole page, with the pictures inside it."""
    from jinja2 import Environment
    from markupsafe import Markup

    template = Environment(autoescape=True).from_string(_TEMPLATE)
    parts = [
        {
            "table": table,
            "grouped": any(column.group for column in table.columns),
            "groups": [
                (group, len(list(members))) for group, members in groupby(column.group for column in table.columns)
            ],
            "lines": [
                (
                    row,
                    [
                        (cell_text(cell, column, table), about(cell), cell)
                        for cell, column in zip(row.cells, table.columns, strict=True)
                    ],
                )
                for row in table.rows
            ],
            "notes": [*reason_lines(table), *table.notes],
        }
        for table in tables
    ]
    shown = [{"body": Markup(_embedded(picture)), "caption": picture.caption} for picture in pictures]
    return template.render(title=title, parts=parts, pictures=shown)


def _embedded(picture: Picture) -> str:
    from markupsafe import escape

    kind = {".png": "image/png", ".svg": "image/svg+xml"}.get(picture.file.suffix)
    if kind is None:
        raise ValueError(f"{picture.file}: only .png and .svg pictures can be put into a page")
    data = base64.b64encode(picture.file.read_bytes()).decode()
    return f'<img alt="{escape(picture.caption)}" src="data:{kind};base64,{data}">'
