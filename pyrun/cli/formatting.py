"""docker's `--format`: a template, "json", or "table TEMPLATE" over rows. Cold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pyrun.cli.template import Template
from pyrun.cli.template_functions import to_json
from pyrun.cli.text import columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FIELD = re.compile(r"\.(\w+)")


def render(template: str, document: Any) -> str:
    """Format one document."""
    return to_json(document) if template == "json" else Template(template).render(document)


def show_rows(template: str, rows: Sequence[Mapping[str, Any]], headings: Mapping[str, str]) -> None:
    """Print rows by a template; `table` puts docker's headings above and aligns at tabs."""
    if template == "json":
        template = "{{json .}}"
    is_table = template.startswith("table")
    body = template.removeprefix("table").strip() if is_table else template
    body = body.replace("\\t", "\t").replace("\\n", "\n")
    parsed = Template(body)
    lines = [parsed.render(row) for row in rows]
    if not is_table:
        for line in lines:
            print(line)
        return
    cells = [[part.strip() for part in _heading(body, headings).split("\t")], *(line.split("\t") for line in lines)]
    width = max(map(len, cells))
    print(columns([[*row, *[""] * (width - len(row))] for row in cells]))


def _heading(body: str, headings: Mapping[str, str]) -> str:
    """Return the line of headings: each action replaced by the heading of the field that it names."""

    def replace(match: re.Match[str]) -> str:
        field = _FIELD.search(match[0])
        return headings.get(field[1], field[1].upper()) if field else ""

    return re.sub(r"\{\{.*?\}\}", replace, body)
