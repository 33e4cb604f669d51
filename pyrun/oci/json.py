"""JSON for the hot verbs: CPython's C scanner and encoder without the ``json`` package.

It must not know what the documents mean. ``import json`` costs 8 ms over a bare start, because it imports ``re`` and
``enum``; ``_json`` costs nothing. For documents that come from outside use the msgspec types of this package.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHITESPACE = " \t\n\r"


class JSONError(ValueError):
    """A text is no JSON; ``position`` counts characters (bytes where it is no UTF-8) from 0."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"invalid JSON at position {position}: {reason}")
        self.reason = reason
        self.position = position


def _no_constant(name: str) -> None:
    # RFC 8259 section 6 has no NaN and no Infinity; the C scanner offers them to this hook.
    raise JSONError(f"{name} is no JSON value", 0)


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:  # an infinity: what was read could not be written again
        raise JSONError(f"{text[:40]} is too large for a number", 0)
    return value


class _Context:
    """What ``_json.make_scanner`` reads its settings from (an attribute each)."""

    __slots__ = ()
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = staticmethod(_finite)
    parse_int = int
    parse_constant = staticmethod(_no_constant)


def _no_default(value: object) -> None:
    raise TypeError(f"no JSON form for a value of type {type(value).__name__}")


_scan = make_scanner(_Context())  # type: ignore[arg-type]  # typeshed knows only the class json passes
# ASCII only: file names hold lone surrogates (PEP 383), which \udcXX escapes carry and UTF-8 cannot.
_encode = make_encoder(None, _no_default, encode_basestring_ascii, None, ":", ",", False, False, False)
_encode_sorted = make_encoder(None, _no_default, encode_basestring_ascii, None, ":", ",", True, False, False)


def _skip(text: str, position: int) -> int:
    end = len(text)
    while position < end and text[position] in _WHITESPACE:
        position += 1
    return position


def loads(text: str | bytes | bytearray) -> Any:
    """Read one JSON document.

    Raises:
        JSONError: a ValueError with the position of the first bad character.
    """
    if not isinstance(text, str):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise JSONError("not UTF-8", error.start) from None
    try:
        try:
            value, position = _scan(text, _skip(text, 0))
        except SystemError:
            # Up to Python 3.12 the scanner looks for its exception among the modules that are loaded, and fails with
            # none set where it is not (Modules/_json.c raise_errmsg).
            __import__("json.decoder")
            value, position = _scan(text, _skip(text, 0))
    except StopIteration as error:
        raise JSONError("value expected", error.value) from None
    except JSONError:
        raise
    except RecursionError:
        raise JSONError("nested too deeply", 0) from None
    except ValueError as error:  # json.JSONDecodeError, imported by the scanner when it raises it
        raise JSONError(getattr(error, "msg", str(error)), getattr(error, "pos", 0)) from None
    position = _skip(text, position)
    if position != len(text):
        raise JSONError("text after the document", position)
    return value


def dumps(value: object, *, sort_keys: bool = False) -> str:
    """Write a value as compact ASCII JSON; ``loads(dumps(v)) == v`` for dict, list, str, int, float, bool and None.

    Raises:
        TypeError: a value that JSON has no form for.
        ValueError: NaN, an infinity, or a value that contains itself.
    """
    try:
        return "".join((_encode_sorted if sort_keys else _encode)(value, 0))
    except RecursionError:
        raise ValueError("value is nested too deeply or contains itself") from None
