"""Go's text/template, as docker's `--format` uses it: parsed and executed as Go does, with Go's words for errors.

lexer.py and parser.py make nodes.py of a text; execution.py walks them over data; functions.py, comparison.py and
printf.py are what templates may call; values.py knows how Go sees and prints a value. It must not know what is
formatted. `{{define}}`, `{{template}}` and `{{block}}` are left out: one text on a command line has no use for them.
Source: the documentation of Go's packages text/template and fmt; every rule was compared with the docker client.
"""

from __future__ import annotations

from typing import Any

from pyrun.cli.gotemplate.errors import TemplateError
from pyrun.cli.gotemplate.execution import Execution
from pyrun.cli.gotemplate.functions import FUNCTIONS, HEADING_FUNCTIONS
from pyrun.cli.gotemplate.parser import parse
from pyrun.cli.text import for_terminal

__all__ = ["Template", "TemplateError"]


class Template:
    """A parsed template. Raises: TemplateError."""

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            self._nodes = parse(text, FUNCTIONS)
        except RecursionError:
            raise TemplateError("template: :1: max expression depth exceeded") from None

    def render(self, data: Any, *, strict: bool = False) -> str:
        """Execute it on `data` (see values.py); `strict`: a missing key of a map is an error. Raises: TemplateError."""
        # The template is the user's own; the values may be a stranger's.
        return Execution(self._text, FUNCTIONS, strict=strict, shown=for_terminal).run(self._nodes, data)

    def render_headings(self, headings: Any) -> str:
        """Execute it on a table's headings, where `upper`, `json` and the like leave a heading as it is."""
        return Execution(self._text, HEADING_FUNCTIONS).run(self._nodes, headings)
