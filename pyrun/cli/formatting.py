"""docker's `--format`: a template, "json", or "table TEMPLATE", over one document or over rows. Cold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.document_types import typed, untyped
from pyrun.cli.gotemplate import Template, TemplateError
from pyrun.cli.gotemplate.values import Struct, to_json
from pyrun.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LEAST, _GAP = 10, 3  # docker/cli's tabwriter


class Document:
    """A template for whole documents, as `inspect -f` has it. Raises: TemplateError if it cannot be parsed."""

    def __init__(self, template: str) -> None:
        self._template = Template(template)

    def render(self, document: Any) -> str:
        """Write one document. Raises: TemplateError."""
        try:
            return self._template.render(typed(document))
        except TemplateError:
            # As docker does: what Go's types do not know may be in the JSON; if not, the error is about the JSON.
            return self._template.render(untyped(document), strict=True)


def as_json(documents: Sequence[Any]) -> str:
    """Write documents as one list in one line: docker's `inspect -f json`."""
    return to_json([typed(document) for document in documents])


def render(template: str, document: Any) -> str:
    """Write a document whose fields are all known. Raises: TemplateError."""
    return Template("{{json .}}" if template == "json" else template).render(typed(document))


def show_document(template: str, document: Any) -> int:
    """Print a document as `render` writes it; return docker's exit code: 64 where the template cannot be parsed."""
    from pyrun.cli.errors import report

    try:
        parsed = Template("{{json .}}" if template == "json" else template)
    except TemplateError as error:
        report(error, verb="", debug=False)
        return 64
    print(parsed.render(typed(document)))
    return 0


class Row(Struct):
    """One line of a list: fields, and methods that take an argument, which JSON leaves out."""

    go_type = "*formatter.Context"
    escapes_html = True

    def __init__(self, fields: Mapping[str, Any], **methods: Any) -> None:
        super().__init__(fields, also=methods)


def show_rows(template: str, rows: Sequence[Struct], headings: Mapping[str, Any]) -> None:
    """Print rows by a template; `table` puts the headings above and aligns at tabs. Raises: TemplateError."""
    is_table = template.startswith("table")
    body = "{{json .}}" if template == "json" else template.removeprefix("table") if is_table else template
    body = body.strip(" ").replace("\\t", "\t").replace("\\n", "\n")
    parsed = Template(body)
    lines = [parsed.render(row) for row in rows]
    if is_table:
        print(aligned("\n".join([parsed.render_headings(dict(headings)), *map(printable, lines)])))
        return
    for line in lines:
        print(line)


def heading_of_label(name: str) -> str:
    """Return docker's heading of `{{.Label "com.example.is-it"}}`."""
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


def aligned(text: str) -> str:
    """Align at tabs: a column is a run of lines that have a tab there; what follows a line's last tab is in none."""
    rows = [line.split("\t") for line in text.split("\n")]
    for column in range(max(map(len, rows)) - 1):
        start = 0
        while start < len(rows):
            end = start
            while end < len(rows) and len(rows[end]) > column + 1:
                end += 1
            width = max([_LEAST, *(len(row[column]) + _GAP for row in rows[start:end])])
            for row in rows[start:end]:
                row[column] = row[column].ljust(width)
            start = max(end, start + 1)
    return "\n".join(map("".join, rows))
