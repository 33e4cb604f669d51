"""What is wrong with a template, in Go's words."""

from __future__ import annotations

from pyrun.errors import InvalidInputError


class TemplateError(InvalidInputError):
    """The template cannot be read, or does not fit the data. `words` are Go's, with line and column."""

    def __init__(self, words: str) -> None:
        super().__init__(f"template parsing error: {words}")


class CallError(Exception):
    """A template's function refuses its arguments; the executor adds where."""
