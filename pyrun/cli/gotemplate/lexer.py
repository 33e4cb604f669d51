"""A template's text as tokens. Source: text/template "Text and spaces", "Actions"; the Go specification's literals."""

from __future__ import annotations

import re
from typing import NamedTuple

KEYWORDS = ("block", "break", "continue", "define", "else", "end", "if", "range", "template", "with")
_SPACE = " \t\r\n"
_LEFT, _RIGHT = "{{", "}}"
_MARKS = {"=": "=", "|": "|", "(": "(", ")": ")"}
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|0[oO][0-7_]*|0[bB][01_]*"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)


class Token(NamedTuple):
    """`kind`: text, {{, }}, space, a mark, number, string, raw, char, field, variable, identifier, bool, nil, ., ,,

    a keyword, eof or error; `value`: as written.
    """

    kind: str
    value: str
    position: int
    line: int

    def __str__(self) -> str:
        """Return it as Go's errors name it."""
        if self.kind == "eof":
            return "EOF"
        if self.kind == "error":
            return self.value
        if self.kind in (*KEYWORDS, ".", "nil"):
            return f"<{self.value}>"
        from pyrun.cli.gotemplate.values import quote

        return f"{quote(self.value[:10])}..." if len(self.value) > 10 else quote(self.value)


class _LexError(Exception):
    """Said by the error token that ends the tokens."""


class Lexer:
    """Cuts a text; `tokens` ends with one of kind eof or error."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.tokens: list[Token] = []
        try:
            while self._text():
                while self._inside():
                    pass
        except _LexError as error:
            self._emit("error", self.position, str(error))
        else:
            self._emit("eof", len(text), "")

    def _emit(self, kind: str, start: int, value: str | None = None) -> None:
        line = 1 + self.text.count("\n", 0, start)
        self.tokens.append(Token(kind, self.text[start : self.position] if value is None else value, start, line))

    def _rest(self, text: str, offset: int = 0) -> bool:
        return self.text.startswith(text, self.position + offset)

    def _text(self) -> bool:
        """Take the text up to an action, and what opens it; False at the end of all."""
        start = self.position
        end = self.text.find(_LEFT, start)
        if end < 0:
            end = len(self.text)
        body = self.text[start:end]
        is_trimmed = self.text[end + 2 : end + 3] == "-" and self.text[end + 3 : end + 4] in tuple(_SPACE)
        self.position = end
        if is_trimmed:
            body = body.rstrip(_SPACE)
        if body:
            self._emit("text", start, body)
        if end == len(self.text):
            return False
        inside = end + 4 if is_trimmed else end + 2
        if self.text.startswith("/*", inside):
            self._comment(inside)
            return self._text()
        self.position = end + 2
        self._emit(_LEFT, end)
        self.position = inside
        self.parentheses = 0
        return True

    def _comment(self, start: int) -> None:
        end = self.text.find("*/", start)
        if end < 0:
            raise _LexError("unclosed comment")
        self.position = end + 2
        if not self._close():
            raise _LexError("comment ends before closing delimiter")

    def _close(self) -> bool:
        """Go past the closing delimiter, and past the space that its trim marker takes away; False if there is none."""
        trims = self.text[self.position : self.position + 1] in tuple(_SPACE) and self._rest("-" + _RIGHT, 1)
        if not trims and not self._rest(_RIGHT):
            return False
        self.position += 4 if trims else 2
        while trims and self.position < len(self.text) and self.text[self.position] in _SPACE:
            self.position += 1
        return True

    def _inside(self) -> bool:
        """Take one token of an action; False after its end."""
        start = self.position
        if self._close():
            if self.parentheses:
                raise _LexError("unclosed left paren")
            self._emit(_RIGHT, start, _RIGHT)
            return False
        if start == len(self.text):
            raise _LexError("unclosed action")
        letter = self.text[start]
        self.position += 1
        if letter in _SPACE:
            self._space(start)
        elif letter in _MARKS:
            self._mark(letter, start)
        elif letter == ":":
            if not self._rest("="):
                raise _LexError("expected :=")
            self.position += 1
            self._emit(":=", start)
        elif letter in "\"'":
            self._quoted(letter, start)
        elif letter == "`":
            end = self.text.find("`", self.position)
            if end < 0:
                raise _LexError("unterminated raw quoted string")
            self.position = end + 1
            self._emit("raw", start)
        elif letter == "$" or (letter == "." and not self._peek().isdigit()):
            self._name("variable" if letter == "$" else "field", start)
        elif letter in "+-.0123456789":
            self._number(start)
        elif letter == "_" or letter.isalnum():
            self._identifier(start)
        elif " " < letter <= "~":
            self._emit("char", start)
        else:
            raise _LexError(f"unrecognized character in action: {_unicode(letter)}")
        return True

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _space(self, start: int) -> None:
        # The space before "-}}" belongs to the delimiter.
        while self._peek() and self._peek() in _SPACE:
            self.position += 1
        if self._rest("-" + _RIGHT):
            self.position -= 1
            if self.position == start:
                return
        self._emit("space", start)

    def _mark(self, letter: str, start: int) -> None:
        self.parentheses += {"(": 1, ")": -1}.get(letter, 0)
        if self.parentheses < 0:
            raise _LexError("unexpected right paren")
        self._emit(letter, start)

    def _quoted(self, quote: str, start: int) -> None:
        what = "quoted string" if quote == '"' else "character constant"
        while True:
            letter = self._peek()
            self.position += 1
            if letter == "\\" and self._peek() not in ("", "\n"):
                self.position += 1
            elif letter in ("", "\n", "\\"):
                self.position = start
                raise _LexError(f"unterminated {what}")
            elif letter == quote:
                self._emit("string" if quote == '"' else "charconst", start)
                return

    def _name(self, kind: str, start: int) -> None:
        self._take_word()
        if self.position == start + 1:
            kind = "." if kind == "field" else kind
        self._must_end()
        self._emit(kind, start)

    def _take_word(self) -> None:
        while self._peek() == "_" or self._peek().isalnum():
            self.position += 1

    def _must_end(self) -> None:
        letter = self._peek()
        if letter and letter not in _SPACE + ".,|:)(" and not self._rest(_RIGHT):
            self.position += 1
            raise _LexError(f"bad character {_unicode(letter)}")

    def _number(self, start: int) -> None:
        match = _NUMBER.match(self.text, start)
        self.position = match.end() if match else start
        if self._peek() == "_" or self._peek().isalnum():
            self.position += 1
            from pyrun.cli.gotemplate.values import quote

            raise _LexError(f"bad number syntax: {quote(self.text[start : self.position])}")
        self._emit("number", start)

    def _identifier(self, start: int) -> None:
        self._take_word()
        word = self.text[start : self.position]
        self._must_end()
        if word in ("true", "false"):
            self._emit("bool", start)
        else:
            self._emit(word if word in KEYWORDS or word == "nil" else "identifier", start)


def _unicode(letter: str) -> str:
    """Write a character as Go's %#U."""
    number = ord(letter)
    return f"U+{number:04X} '{letter}'" if letter.isprintable() else f"U+{number:04X}"
