"""Go's literals: strings, characters, numbers. Source: the Go specification, "Lexical elements"."""

from __future__ import annotations

import re
from typing import Any

from pyrun.cli.gotemplate.values import quote

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_INTEGER = re.compile(r"[+-]?(0[xX](_?[0-9a-fA-F])+|0[bB](_?[01])+|0[oO]?(_?[0-7])+|[1-9](_?[0-9])*|0)")


def value(kind: str, text: str) -> Any:
    """Return what a token of a constant is worth. Raises: ValueError in Go's words."""
    if kind == "bool":
        return text == "true"
    if kind == "raw":
        return text[1:-1].replace("\r", "")
    if kind == "string":
        return unquote(text[1:-1], '"')
    if kind == "charconst":
        letter = unquote(text[1:-1], "'")
        if len(letter) != 1:
            raise ValueError(f"malformed character constant: {text}")
        return ord(letter)
    return _number(text)


def unquote(text: str, quote_mark: str) -> str:
    """Resolve backslash escapes. Raises: ValueError."""

    def escaped(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "xuU" and len(code) > 1:
            return chr(int(code[1:], 16))
        if len(code) == 3:
            return chr(int(code, 8))
        if code == quote_mark:
            return code
        if code not in _ESCAPES:
            raise ValueError("invalid syntax")
        return _ESCAPES[code]

    return _ESCAPE.sub(escaped, text)


def _number(text: str) -> int | float:
    try:
        if _INTEGER.fullmatch(text):
            return _integer(text)
        # A float that is a whole number may stand for one, as 1e3: Go's ideal constants; not for one with a point.
        return float(text)
    except (ValueError, OverflowError):
        raise ValueError(f"illegal number syntax: {quote(text)}") from None


def _integer(text: str) -> int:
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    digits = digits.replace("_", "")
    is_old_octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    number = sign * (int(digits, 8) if is_old_octal else int(digits, 0))
    if not -(1 << 63) <= number < 1 << 64:
        raise OverflowError
    return number
