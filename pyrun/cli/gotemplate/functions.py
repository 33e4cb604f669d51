"""What templates may call: Go's built-in functions and docker's. Source: text/template "Functions"; docker's
documentation "Format command and log output"; `prettyjson` is podman's.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrun.cli.gotemplate import comparison
from pyrun.cli.gotemplate.errors import CallError
from pyrun.cli.gotemplate.printf import print_, printf, println
from pyrun.cli.gotemplate.values import MISSING, JsonNumber, Struct, is_nil, is_true, show, to_json, type_name

if TYPE_CHECKING:
    from collections.abc import Callable


class Function(NamedTuple):
    """`parameters`: their types, `object` for any; `rest`: the type of those that may follow, None: none may."""

    call: Callable[..., Any]
    parameters: tuple[type, ...] = (object,)
    rest: type | None = None


_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"}
_SCRIPT = {
    "\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D",
    "\n": "\\u000A", "\r": "\\u000D", "\t": "\\u0009",
}  # fmt: skip


def _never(*_: Any) -> Any:
    """`and` and `or`: the executor evaluates their arguments only as far as needed."""


def _position(value: Any, length: int) -> int:
    if value is None or value is MISSING:
        raise CallError("cannot index slice/array with nil")
    if not isinstance(value, int) or isinstance(value, bool):
        raise CallError(f"cannot index slice/array with type {type_name(value)}")
    if not 0 <= value <= length:
        raise CallError(f"index out of range: {value}")
    return value


def _element(items: Any, key: Any, kind: str) -> Any:
    place = _position(key, len(items))
    if place == len(items):
        raise CallError(f"reflect: {kind} index out of range")
    return items[place]


def index(value: Any, *keys: Any) -> Any:
    """Look up keys one after another; a missing key of a map is its zero value, a bad position an error."""
    if value is None or value is MISSING:
        raise CallError("index of untyped nil")
    for key in keys:
        if is_nil(value):
            raise CallError("index of nil pointer")
        if isinstance(value, dict) and not isinstance(value, Struct):
            value = _entry(value, key)
        elif isinstance(value, str):
            value = _element(value.encode("utf-8", "surrogateescape"), key, "string")
        elif isinstance(value, list | tuple):
            value = _element(value, key, "slice")
        else:
            raise CallError(f"can't index item of type {type_name(value)}")
    return value


def _entry(value: dict[str, Any], key: Any) -> Any:
    if is_nil(key):
        raise CallError("value is nil; should be of type string")
    if not isinstance(key, str):
        raise CallError(f"value has type {type_name(key)}; should be string")
    if key in value:
        return value[key]
    # The zero value of what it holds: an empty text, or a list that can be ranged over.
    return next((type(item)() for item in value.values() if isinstance(item, str | int | list)), "")


def slice_(value: Any, *bounds: Any) -> Any:
    """Cut: `slice x 1 3`."""
    if value is None or value is MISSING:
        raise CallError("slice of untyped nil")
    if len(bounds) > 3:
        raise CallError(f"too many slice indexes: {len(bounds)}")
    if isinstance(value, str):
        if len(bounds) == 3:
            raise CallError("cannot 3-index slice a string")
        cut = value.encode("utf-8", "surrogateescape")
        first, last = _bounds(bounds, len(cut))
        return cut[first:last].decode("utf-8", "surrogateescape")
    if not isinstance(value, list | tuple):
        raise CallError(f"can't slice item of type {type_name(value)}")
    first, last = _bounds(bounds, len(value))
    return list(value[first:last])


def _bounds(bounds: tuple[Any, ...], length: int) -> tuple[int, int]:
    places = [_position(bound, length) for bound in bounds]
    for one, other in itertools.pairwise(places):
        if one > other:
            raise CallError(f"invalid slice index: {one} > {other}")
    first, last = [*places[:2], *(0, length)[len(places[:2]) :]]
    return first, last


def length(value: Any) -> int:
    """Return the number of elements, or of a text's bytes."""
    if is_nil(value):
        raise CallError("len of nil pointer")
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, list | tuple) or (isinstance(value, dict) and not isinstance(value, Struct)):
        return len(value)
    raise CallError(f"len of type {type_name(value)}")


def html(*values: Any) -> str:
    """Escape for HTML."""
    return "".join(_HTML.get(letter, letter) for letter in _joined(values))


def js(*values: Any) -> str:
    """Escape for JavaScript."""
    return "".join(
        _SCRIPT.get(letter) or (letter if letter.isprintable() else f"\\u{ord(letter):04X}")
        for letter in _joined(values)
    )


def urlquery(*values: Any) -> str:
    """Escape for the query of a URL."""
    from urllib.parse import quote_plus

    return quote_plus(_joined(values), safe="-_.~", encoding="utf-8", errors="surrogateescape")


def _joined(values: tuple[Any, ...]) -> str:
    return print_(*("<no value>" if value is None or value is MISSING else value for value in values))


def join(values: Any, separator: str) -> str:
    """Put a separator between a list's elements."""
    if values is None or values is MISSING:
        return ""
    if not isinstance(values, list | tuple):
        raise CallError(f"expected slice, got {type_name(values)}")
    return separator.join(map(show, values))


def split(text: str, separator: str) -> list[str]:
    """Cut at a separator; without one, between all characters."""
    return text.split(separator) if separator else list(text)


def title(text: str) -> str:
    """Write each word with a capital."""
    letters = []
    for place, letter in enumerate(text):
        before = text[place - 1] if place else " "
        begins = before.isspace() or not (before.isalnum() or before == "_" or not before.isascii())
        letters.append(letter.title() if begins else letter)
    return "".join(letters)


def pad(text: str, before: int, after: int) -> str:
    """Put spaces before and after a text that is not empty."""
    return " " * before + text + " " * after if text else text


def truncate(text: str, most: int) -> str:
    """Cut to a length in bytes."""
    if most < 0:
        raise CallError(f"runtime error: slice bounds out of range [:{most}]")
    return text.encode("utf-8", "surrogateescape")[:most].decode("utf-8", "surrogateescape")


def json(value: Any) -> str:
    """Write compact JSON."""
    return to_json(None if isinstance(value, JsonNumber) and not value else value)


FUNCTIONS: dict[str, Function] = {
    "and": Function(_never, rest=object),
    "or": Function(_never, rest=object),
    "not": Function(lambda value: not is_true(value)),
    "eq": Function(comparison.equal, rest=object),
    "ne": Function(comparison.not_equal, (object, object)),
    "lt": Function(comparison.less, (object, object)),
    "le": Function(comparison.less_or_equal, (object, object)),
    "gt": Function(comparison.greater, (object, object)),
    "ge": Function(comparison.greater_or_equal, (object, object)),
    "len": Function(length),
    "index": Function(index, rest=object),
    "slice": Function(slice_, rest=object),
    "print": Function(print_, (), object),
    "println": Function(println, (), object),
    "printf": Function(printf, (str,), object),
    "html": Function(html, (), object),
    "js": Function(js, (), object),
    "urlquery": Function(urlquery, (), object),
    "json": Function(json),
    "prettyjson": Function(lambda value: to_json(value, "    ")),
    "join": Function(join, (object, str)),
    "split": Function(split, (str, str)),
    "upper": Function(lambda text: text.upper(), (str,)),
    "lower": Function(lambda text: text.lower(), (str,)),
    "title": Function(title, (str,)),
    "pad": Function(pad, (str, int, int)),
    "truncate": Function(truncate, (str, int)),
}
_AS_IT_IS = ("json", "prettyjson", "join", "split", "upper", "lower", "title", "pad", "truncate")
# A table's headings go through the same template: there these leave a heading as it is.
HEADING_FUNCTIONS = {
    **FUNCTIONS,
    **{name: Function(lambda text, *_: text, (object,), object) for name in _AS_IT_IS},
}
