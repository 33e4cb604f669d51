"""Words of a Dockerfile line: where they end, what quotes and ``$NAME`` in them stand for.

Sources: moby/buildkit frontend/dockerfile/shell/lex.go, parser/line_parsers.go `parseWords`; Dockerfile reference,
"Environment replacement".
"""

from __future__ import annotations

from pyrun.errors import InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


def split_words(text: str) -> list[str]:
    """Split at spaces that are neither quoted nor behind a backslash; quotes and backslashes stay."""
    words, word, quote, position = [], "", "", 0
    while position < len(text):
        character = text[position]
        if character == "\\" and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character.isspace():
            words += [word] if word else []
            word, position = "", position + 1
            continue
        word += character
        position += 1
    return [*words, word] if word else words


class Expansion:
    """Takes quotes away and puts the values of variables in; an unknown one is empty."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._text = ""
        self._at = 0

    def word(self, text: str) -> str:
        """Return what a word stands for. Raises: InvalidInputError for a quote or brace that is not closed."""
        self._text, self._at = text, 0
        return self._until("")

    def _until(self, end: str) -> str:
        result = ""
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == end:
                return result
            self._at += 1
            if character == "'":
                result += self._single()
            elif character == '"':
                result += self._double()
            elif character == "$":
                result += self._variable()
            elif character == "\\":
                result += self._next()
            else:
                result += character
        if end:
            raise InvalidInputError(f"syntax error: missing {end} in {self._text!r}")
        return result

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1 : self._at]

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise InvalidInputError(
                f"unexpected end of statement while looking for matching single-quote: {self._text}"
            )
        result, self._at = self._text[self._at : end], end + 1
        return result

    def _double(self) -> str:
        result = ""
        while (character := self._next()) != '"':
            if not character:
                raise InvalidInputError(
                    f"unexpected end of statement while looking for matching double-quote: {self._text}"
                )
            if character == "$":
                result += self._variable()
            elif character == "\\":
                escaped = self._next()
                result += escaped if escaped in '"$\\' else "\\" + escaped
            else:
                result += character
        return result

    def _variable(self) -> str:
        """Read what stands behind ``$``: NAME, {NAME}, {NAME:-word}, {NAME:+word}."""
        if self._text[self._at : self._at + 1] != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._at += 1
        name = self._name()
        modifier = self._text[self._at : self._at + 2]
        value = self._variables.get(name, "")
        if modifier in (":-", ":+"):
            self._at += 2
            word = self._until("}")
            value = (value or word) if modifier == ":-" else (word if value else "")
        if self._next() != "}" or not name:
            raise InvalidInputError(f"unsupported modifier in substitution: {self._text}")
        return value

    def _name(self) -> str:
        begin = self._at
        while self._at < len(self._text) and self._text[self._at] in _NAME:
            self._at += 1
        return self._text[begin : self._at]
